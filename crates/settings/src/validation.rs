//! Values are judged: all of them, and everything wrong is said at once.

use std::net::IpAddr;

use crate::pem;
use crate::problem::{Problem, shown};
use crate::secret::Secret;
use crate::settings::{Authentication, LogLevel, Settings, Tls};
use crate::table::{Choice, FIELDS, Field, Kind, field};
use crate::values::Values;

/// UNTIL TLS IS BUILT: the one place that refuses it. When TLS works, remove this constant and what the compiler then names.
pub(crate) const TLS_IS_BUILT: bool = false;

/// Makes settings of `values`, or says all that is wrong with them in the order of the table.
pub(crate) fn judge(values: &Values, tls_is_built: bool) -> Result<Settings, Vec<Problem>> {
    let mut judge = Judge {
        values,
        problems: Vec::new(),
    };
    let settings = Settings {
        enabled: judge.switch("ENABLED"),
        port: judge.number("PORT"),
        log_level: judge.log_level(),
        tls: judge.tls(tls_is_built),
        authentication: judge.authentication(),
        bind: judge.address("BIND"),
        max_clients: judge.limit("MAX_CLIENTS"),
        max_inflight: judge.limit("MAX_INFLIGHT").unwrap_or(u16::MAX),
        max_queued_messages: judge.limit("MAX_QUEUED_MESSAGES"),
        max_queued_bytes: judge.limit("MAX_QUEUED_BYTES"),
        max_memory: judge
            .given("MAX_MEMORY")
            .then(|| judge.limit("MAX_MEMORY").unwrap_or(u64::MAX)),
        max_packet_size: judge
            .limit("MAX_PACKET_SIZE")
            .unwrap_or_else(|| judge.largest("MAX_PACKET_SIZE")),
        max_keep_alive: judge.limit("MAX_KEEP_ALIVE").unwrap_or(u16::MAX),
        max_qos: judge.number("MAX_QOS"),
        retain_available: judge.switch("RETAIN_AVAILABLE"),
        max_topic_alias: judge.number("MAX_TOPIC_ALIAS"),
        max_retained: judge.limit("MAX_RETAINED"),
        max_subscriptions: judge.limit("MAX_SUBSCRIPTIONS"),
        max_session_expiry: judge.limit("MAX_SESSION_EXPIRY"),
        allow_empty_client_id: judge.switch("ALLOW_EMPTY_CLIENT_ID"),
        sys_interval: judge.number("SYS_INTERVAL"),
        connect_rate: judge.limit("CONNECT_RATE"),
        websocket_origins: judge.origins("WEBSOCKET_ORIGINS"),
    };
    judge.unknown_values();
    let mut problems = judge.problems;
    if problems.is_empty() {
        return Ok(settings);
    }
    problems.sort_by_key(|problem| {
        FIELDS
            .iter()
            .position(|field| Some(field.key) == problem.key)
    });
    Err(problems)
}

/// Reads value after value. One that is wrong is noted and stands in as something harmless, since no settings come of it.
struct Judge<'a> {
    values: &'a Values,
    problems: Vec<Problem>,
}

impl<'a> Judge<'a> {
    fn row(&self, key: &str) -> (&'static Field, &'a [u8]) {
        (
            field(key).expect("the keys named in this file are in the table"),
            self.values.get(key),
        )
    }

    fn refuse(&mut self, field: &Field, message: String) {
        self.problems.push(Problem::of(field.key, message));
    }

    fn switch(&mut self, key: &str) -> bool {
        let (field, value) = self.row(key);
        if value != b"0" && value != b"1" {
            self.refuse(
                field,
                format!(
                    "{} must be 0 (off) or 1 (on); {}.",
                    field.label,
                    entered(value)
                ),
            );
        }
        value == b"1"
    }

    fn choice(&mut self, key: &str) -> &'static str {
        let (field, value) = self.row(key);
        let Kind::Choice(choices) = field.kind else {
            unreachable!("{key} is a choice in the table")
        };
        let chosen = choices
            .iter()
            .find(|choice| choice.value.as_bytes() == value);
        if chosen.is_none() {
            self.refuse(
                field,
                format!(
                    "{} must be {}; {}.",
                    field.label,
                    alternatives(choices),
                    entered(value)
                ),
            );
        }
        chosen.map_or(field.default, |choice| choice.value)
    }

    fn log_level(&mut self) -> LogLevel {
        match self.choice("LOG_LEVEL") {
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warning" => LogLevel::Warning,
            _ => LogLevel::Error,
        }
    }

    /// A number of the table's range, which fits `T`.
    fn number<T: TryFrom<u64> + Default>(&mut self, key: &str) -> T {
        let (field, value) = self.row(key);
        let Kind::Number {
            min,
            max,
            zero_is_unlimited,
        } = field.kind
        else {
            unreachable!("{key} is a number in the table")
        };
        let digits =
            Some(value).filter(|value| !value.is_empty() && value.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        match number
            .filter(|number| (min..=max).contains(number))
            .and_then(|number| T::try_from(number).ok())
        {
            Some(number) => number,
            None => {
                let unlimited = if zero_is_unlimited {
                    " (0 means no limit)"
                } else {
                    ""
                };
                let or_empty = if field.default.is_empty() {
                    ", or empty"
                } else {
                    ""
                };
                let range = format!("a whole number from {min} to {max}{unlimited}{or_empty}");
                self.refuse(
                    field,
                    format!("{} must be {range}; {}.", field.label, entered(value)),
                );
                T::default()
            }
        }
    }

    /// A number where 0 stands for "no limit".
    fn limit<T: TryFrom<u64> + Default + PartialEq>(&mut self, key: &str) -> Option<T> {
        Some(self.number(key)).filter(|limit| *limit != T::default())
    }

    /// The end of a number's range.
    fn largest(&self, key: &str) -> u32 {
        match self.row(key).0.kind {
            Kind::Number { max, .. } => u32::try_from(max).unwrap_or(u32::MAX),
            _ => u32::MAX,
        }
    }

    fn given(&self, key: &str) -> bool {
        !self.values.get(key).is_empty()
    }

    /// A text that must not be missing. `why` ends the sentence that asks for it.
    fn text(&mut self, key: &str, why: &str) -> String {
        let (field, value) = self.row(key);
        let label = field.label;
        let Kind::Text { max_bytes } = field.kind else {
            unreachable!("{key} is a text in the table")
        };
        if value.is_empty() {
            self.refuse(field, format!("{label} is missing: {why}."));
        } else if value.len() > max_bytes {
            self.refuse(
                field,
                format!(
                    "{label} must not be longer than {max_bytes} bytes; this one has {}.",
                    value.len()
                ),
            );
        }
        let Ok(text) = str::from_utf8(value) else {
            self.refuse(
                field,
                format!("{label} must be text in UTF-8; this one is not. Type it again."),
            );
            return String::new();
        };
        if let Some(at) = text.chars().position(char::is_control) {
            let what = "must not contain control characters such as tabs and line breaks";
            self.refuse(
                field,
                format!("{label} {what}; remove the one at position {}.", at + 1),
            );
        }
        text.to_string()
    }

    /// The bytes that hexadecimal digits stand for.
    fn hex(&mut self, key: &str, why: &str) -> Vec<u8> {
        let (field, value) = self.row(key);
        let label = field.label;
        let Kind::Hex { max_digits } = field.kind else {
            unreachable!("{key} is hexadecimal in the table")
        };
        let digits = "hexadecimal digits (0 to 9, a to f)";
        if value.is_empty() {
            self.refuse(field, format!("{label} is missing: {why}."));
        } else if value.starts_with(b"0x") || value.starts_with(b"0X") {
            self.refuse(
                field,
                format!("{label} must be {digits} only; leave out the 0x before them."),
            );
        } else if let Some(at) = value.iter().position(|byte| !byte.is_ascii_hexdigit()) {
            self.refuse(
                field,
                format!(
                    "{label} must be {digits} only; the character at position {} is none.",
                    at + 1
                ),
            );
        } else if value.len() % 2 == 1 {
            let count = value.len();
            self.refuse(field, format!("{label} must have an even number of {digits}, two for each byte; this one has {count}."));
        } else if value.len() > max_digits {
            self.refuse(
                field,
                format!(
                    "{label} must not have more than {max_digits} digits; this one has {}.",
                    value.len()
                ),
            );
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .unwrap_or(0)
        };
        value
            .chunks_exact(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    fn pem(&mut self, key: &str, wanted: pem::Wanted, why: &str) -> String {
        let (field, value) = self.row(key);
        let Kind::Pem { max_bytes } = field.kind else {
            unreachable!("{key} is PEM in the table")
        };
        if value.is_empty() {
            self.refuse(field, format!("{} is missing: {why}.", field.label));
        } else if value.len() > max_bytes {
            let count = value.len();
            self.refuse(
                field,
                format!(
                    "{} must not be longer than {max_bytes} bytes; this one has {count}.",
                    field.label
                ),
            );
        } else if let Err(reason) = pem::check(value, wanted) {
            self.refuse(field, format!("{} {reason}", field.label));
        }
        String::from_utf8_lossy(value).into_owned()
    }

    fn tls(&mut self, tls_is_built: bool) -> Tls {
        let chosen = self.choice("TLS");
        if chosen != "none" && !tls_is_built {
            let (field, _) = self.row("TLS");
            self.refuse(
                field,
                format!(
                    "{} must be None: this version of the broker can't encrypt connections yet.",
                    field.label
                ),
            );
        }
        match chosen {
            "psk" => Tls::Psk {
                identity: self.text(
                    "PSK_IDENTITY",
                    "enter the name that clients give with the pre-shared key",
                ),
                key: Secret::new(self.hex(
                    "PSK_KEY",
                    "enter the hexadecimal digits that \"openssl rand -hex 32\" prints",
                )),
            },
            "certificate" => Tls::Certificate {
                ca: self.ca_certificates(),
                certificate: self.pem(
                    "CERTIFICATE",
                    pem::Wanted::Certificate,
                    "paste the broker's certificate in PEM format",
                ),
                private_key: {
                    let why = "paste the private key of the broker's certificate in PEM format";
                    Secret::new(
                        self.pem("PRIVATE_KEY", pem::Wanted::PrivateKey, why)
                            .into_bytes(),
                    )
                },
            },
            _ => Tls::None,
        }
    }

    /// A broker whose certificate a public authority has signed, and that asks clients for none, needs no CA.
    fn ca_certificates(&mut self) -> String {
        if !self.given("CA_CERTIFICATES") && self.values.get("AUTHENTICATION") != b"certificate_cn"
        {
            return String::new();
        }
        let why = "Certificate CN needs the certificate, in PEM format, of the authority that signs the clients' certificates";
        self.pem("CA_CERTIFICATES", pem::Wanted::Certificate, why)
    }

    fn authentication(&mut self) -> Authentication {
        match self.choice("AUTHENTICATION") {
            "password" => Authentication::Password {
                username: self.text("USERNAME", "Authentication by Username/password needs one"),
                password: Secret::new(
                    self.text("PASSWORD", "Authentication by Username/password needs one")
                        .into_bytes(),
                ),
            },
            "certificate_cn" => {
                if self.values.get("TLS") != b"certificate" {
                    let (field, _) = self.row("AUTHENTICATION");
                    let what = "by Certificate CN works only with TLS Support \"Certificate based\"; choose that, or another";
                    self.refuse(field, format!("{} {what} Authentication.", field.label));
                }
                let why = "Authentication by Certificate CN needs the Common Name of the clients' certificates here";
                Authentication::CertificateCn {
                    common_name: self.text("USERNAME", why),
                }
            }
            _ => Authentication::None,
        }
    }

    fn address(&mut self, key: &str) -> Option<IpAddr> {
        let (field, value) = self.row(key);
        if value.is_empty() {
            return None;
        }
        let address: Option<IpAddr> = str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse().ok());
        if address.is_none_or(|address| address.is_multicast() || address == IpAddr::from([255; 4]))
        {
            let what = "an IPv4 or IPv6 address of the router such as 192.168.1.1, or empty for all its addresses";
            self.refuse(
                field,
                format!("{} must be {what}; {}.", field.label, entered(value)),
            );
        }
        address
    }

    fn origins(&mut self, key: &str) -> Vec<String> {
        let (field, value) = self.row(key);
        let mut origins = Vec::new();
        for text in value
            .split(|&byte| byte == b' ')
            .filter(|text| !text.is_empty())
        {
            let lower = String::from_utf8_lossy(text).to_ascii_lowercase();
            if is_origin(&lower) {
                origins.push(lower);
            } else {
                let what = "must be web sites such as https://panel.example.com or http://192.168.1.2:8080, separated by spaces";
                self.refuse(
                    field,
                    format!("{} {what}; \"{}\" is none.", field.label, shown(text)),
                );
                break;
            }
        }
        origins
    }

    /// No file can hold a NUL byte; it could only come from a caller of [`Values::set`].
    fn unknown_values(&mut self) {
        for (key, value) in self.values.iter() {
            let judged = field(key).map(|field| field.key);
            if value.contains(&0)
                && !self
                    .problems
                    .iter()
                    .any(|problem| judged.is_some() && problem.key == judged)
            {
                let label = field(key).map_or(key, |field| field.label);
                self.problems.push(Problem {
                    key: judged,
                    message: format!("{label} must not contain a NUL byte."),
                });
            }
        }
    }
}

fn entered(value: &[u8]) -> String {
    if value.is_empty() {
        "it is empty".to_string()
    } else {
        format!("you entered \"{}\"", shown(value))
    }
}

/// `error, warning, info or debug`
fn alternatives(choices: &[Choice]) -> String {
    let values: Vec<_> = choices.iter().map(|choice| choice.value).collect();
    match values.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => values.concat(),
    }
}

/// `http://host` or `https://host:port`, as a browser sends it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some(authority) = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
    else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_fits = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let host_fits = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    host_fits && port_fits
}

/// What is legal but unwise.
pub(crate) fn warnings(settings: &Settings, tls_is_built: bool) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let mut warn = |key, message: &str| warnings.push(Problem::of(key, message));
    // Only programs of the router itself reach a loopback address.
    let reachable = !settings.bind.is_some_and(|address| address.is_loopback());
    let plain = settings.tls == Tls::None;
    if plain && reachable && settings.authentication == Authentication::None {
        warn(
            "AUTHENTICATION",
            "Without Authentication and TLS, anyone who reaches the port can read and publish everything.",
        );
    }
    if plain
        && reachable
        && tls_is_built
        && matches!(settings.authentication, Authentication::Password { .. })
    {
        warn(
            "TLS",
            "Without TLS, the password crosses the network in plain text.",
        );
    }
    if let Tls::Psk { identity, key } = &settings.tls {
        if has_blank_ends(identity) {
            warn(
                "PSK_IDENTITY",
                "PSK Identity begins or ends with a blank; make sure that is meant.",
            );
        }
        if key.as_bytes().len() < 16 {
            let message = "Pre-shared Key is short and can be guessed; 32 hexadecimal digits (16 bytes) or more are safe.";
            warn("PSK_KEY", message);
        }
    }
    match &settings.authentication {
        Authentication::Password { username: name, .. }
        | Authentication::CertificateCn { common_name: name }
            if has_blank_ends(name) =>
        {
            warn(
                "USERNAME",
                "Username begins or ends with a blank; make sure that is meant.",
            );
        }
        _ => {}
    }
    if settings.max_memory == Some(u64::MAX) {
        warn(
            "MAX_MEMORY",
            "Maximum Memory is unlimited: queued messages can take all the memory of the router.",
        );
    }
    warnings
}

fn has_blank_ends(text: &str) -> bool {
    text.trim() != text
}
