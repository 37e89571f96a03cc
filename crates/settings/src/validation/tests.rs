//! Every rule of the table and its sentence.

use std::net::IpAddr;

use super::*;
use crate::table::FIELDS;
use crate::table::Kind;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";

fn given(values: &[(&str, &str)]) -> Values {
    let mut all = Values::defaults();
    for (key, value) in values {
        all.set(key, value.as_bytes().to_vec());
    }
    all
}

fn settings(values: &[(&str, &str)]) -> Settings {
    judge(&given(values)).unwrap_or_else(|problems| panic!("{values:?}: {problems:?}"))
}

fn messages(values: &[(&str, &str)]) -> Vec<String> {
    let problems = judge(&given(values)).expect_err("must be refused");
    problems
        .into_iter()
        .map(|problem| problem.message)
        .collect()
}

#[test]
fn the_defaults_are_legal() {
    let settings = Settings::from_values(&Values::defaults()).expect("legal");
    assert_eq!(
        settings,
        Settings {
            enabled: false,
            port: 1883,
            log_level: LogLevel::Error,
            tls: Tls::None,
            authentication: Authentication::None,
            bind: None,
            max_clients: Some(256),
            max_inflight: 20,
            max_queued_messages: Some(1000),
            max_queued_bytes: Some(1_048_576),
            full_queue_drops: Drops::Oldest,
            max_memory: None,
            max_packet_size: 1_048_576,
            max_keep_alive: 65_535,
            max_qos: 2,
            retain_available: true,
            max_topic_alias: 10,
            max_retained: Some(10_000),
            max_retained_bytes: None,
            max_subscriptions: Some(1000),
            max_topic_levels: Some(201),
            max_topic_length: 65_535,
            max_session_expiry: Some(1_209_600),
            max_will_delay: Some(1_209_600),
            allow_empty_client_id: true,
            sys_interval: 10,
            connect_rate: Some(50),
            connect_timeout: Duration::from_secs(10),
            websocket_origins: Vec::new(),
        }
    );
}

#[test]
fn zero_lifts_a_limit() {
    let limits: Vec<_> = FIELDS
        .iter()
        .filter(|field| {
            matches!(
                field.kind,
                Kind::Number {
                    zero_is_unlimited: true,
                    ..
                }
            )
        })
        .map(|field| (field.key, "0"))
        .collect();
    let settings = settings(&limits);
    assert_eq!(settings.max_clients, None);
    assert_eq!(settings.max_inflight, 65_535);
    assert_eq!(settings.max_queued_messages, None);
    assert_eq!(settings.max_queued_bytes, None);
    assert_eq!(settings.max_memory, Some(u64::MAX));
    assert_eq!(settings.max_packet_size, 268_435_460);
    assert_eq!(settings.max_keep_alive, 65_535);
    assert_eq!(settings.max_retained, None);
    assert_eq!(settings.max_retained_bytes, Some(u64::MAX));
    assert_eq!(settings.max_subscriptions, None);
    assert_eq!(settings.max_topic_levels, None);
    assert_eq!(settings.max_session_expiry, None);
    assert_eq!(settings.max_will_delay, None);
    assert_eq!(settings.connect_rate, None);
}

#[test]
fn numbers_keep_to_their_range() {
    for field in FIELDS {
        let Kind::Number { min, max, .. } = field.kind else {
            continue;
        };
        for number in [min, max] {
            settings(&[(field.key, &number.to_string())]);
        }
        let beyond = [
            max.to_string() + "0",
            (max + 1).to_string(),
            u64::MAX.to_string() + "0",
        ];
        let other = [
            "-1", "+1", " 1", "1 ", "1.5", "1e3", "0x10", "one", "1\n", "\u{661}",
        ];
        for wrong in beyond.iter().map(String::as_str).chain(other) {
            let problems = judge(&given(&[(field.key, wrong)])).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].key, Some(field.key));
        }
    }
    assert_eq!(
        messages(&[("PORT", "70000")]),
        ["Port must be a whole number from 1 to 65535; you entered \"70000\"."]
    );
    assert_eq!(
        messages(&[("PORT", "")]),
        ["Port must be a whole number from 1 to 65535; it is empty."]
    );
    assert_eq!(
        messages(&[("MAX_MEMORY", "much")]),
        [
            "Maximum Memory must be a whole number from 0 to 4294967295 (0 means no limit), or empty; you entered \"much\"."
        ]
    );
}

#[test]
fn choices_and_switches_are_what_they_are() {
    for field in FIELDS {
        let what = match field.kind {
            Kind::Choice(_) => "must be",
            Kind::Switch => "must be 0 (off) or 1 (on)",
            _ => continue,
        };
        for wrong in ["", "2", "NONE", "none ", "on"] {
            let problems = judge(&given(&[(field.key, wrong)])).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].key, Some(field.key));
            assert!(problems[0].message.contains(what), "{problems:?}");
        }
    }
    assert_eq!(
        messages(&[("LOG_LEVEL", "loud")]),
        ["Log Level must be error, warning, info or debug; you entered \"loud\"."]
    );
    assert_eq!(
        settings(&[("LOG_LEVEL", "debug")]).log_level,
        LogLevel::Debug
    );
    assert_eq!(settings(&[("LOG_LEVEL", "info")]).log_level, LogLevel::Info);
    assert_eq!(
        settings(&[("LOG_LEVEL", "warning")]).log_level,
        LogLevel::Warning
    );
}

#[test]
fn all_is_said_at_once_in_the_order_of_the_form() {
    let values = given(&[
        ("MAX_QOS", "3"),
        ("AUTHENTICATION", "password"),
        ("TLS", "psk"),
        ("PORT", "0"),
        ("BIND", "router"),
        ("PSK_KEY", "abc"),
    ]);
    let problems = judge(&values).unwrap_err();
    let keys: Vec<_> = problems
        .into_iter()
        .filter_map(|problem| problem.key)
        .collect();
    let expected = [
        "PORT",
        "PSK_IDENTITY",
        "PSK_KEY",
        "USERNAME",
        "PASSWORD",
        "BIND",
        "MAX_QOS",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn a_psk_needs_identity_and_key() {
    fn tls<'a>(identity: &'a str, key: &'a str) -> [(&'static str, &'a str); 3] {
        [("TLS", "psk"), ("PSK_IDENTITY", identity), ("PSK_KEY", key)]
    }
    let key = Secret::new(vec![0xba, 0xd1, 0x23]);
    assert_eq!(
        settings(&tls("hint", "BaD123")).tls,
        Tls::Psk {
            identity: "hint".to_string(),
            key
        }
    );
    settings(&tls(&"i".repeat(256), &"0f".repeat(512)));
    assert_eq!(
        messages(&tls("", "")),
        [
            "PSK Identity is missing: enter the name that clients give with the pre-shared key.",
            "Pre-shared Key is missing: enter the hexadecimal digits that \"openssl rand -hex 32\" prints.",
        ]
    );
    for (identity, key, part) in [
        (
            "hint",
            "bad12",
            "even number of hexadecimal digits, two for each byte; this one has 5.",
        ),
        ("hint", "0xbad1", "leave out the 0x"),
        ("hint", "ba d1", "the character at position 3 is none"),
        ("hint", "g0", "the character at position 1 is none"),
        (
            "hint",
            &"0f".repeat(513),
            "must not be longer than 1024 digits; this one has 1026.",
        ),
        (
            &"i".repeat(257),
            "bad1",
            "must not be longer than 256 bytes",
        ),
        ("a\tb", "bad1", "remove the one at position 2."),
    ] {
        let messages = messages(&tls(identity, key));
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].contains(part), "{messages:?}");
    }
}

#[test]
fn certificates_need_their_key() {
    let tls = [("TLS", "certificate")];
    assert_eq!(
        messages(&tls),
        [
            "Broker Certificate is missing: paste the broker's certificate in PEM format.",
            "Broker Private Key is missing: paste the private key of the broker's certificate in PEM format.",
        ]
    );
    let pair = [
        tls[0],
        ("CERTIFICATE", CERTIFICATE),
        ("PRIVATE_KEY", PRIVATE_KEY),
    ];
    assert_eq!(
        settings(&pair).tls,
        Tls::Certificate {
            ca: String::new(),
            certificate: CERTIFICATE.to_string(),
            private_key: Secret::new(PRIVATE_KEY.as_bytes().to_vec())
        }
    );
    // What is in them is judged by cryptography, elsewhere.
    let swapped = [
        tls[0],
        ("CERTIFICATE", PRIVATE_KEY),
        ("PRIVATE_KEY", CERTIFICATE),
        ("CA_CERTIFICATES", "x"),
    ];
    assert_eq!(settings(&swapped).tls.name(), "certificate");
    let mut values = given(&pair);
    values.set("CA_CERTIFICATES", b"\xff".to_vec());
    let problems = judge(&values).unwrap_err();
    assert_eq!(
        problems[0].message,
        "CA Certificate(s) is not text in UTF-8; copy the file again."
    );
    let blank = [
        tls[0],
        ("CERTIFICATE", "\n"),
        ("PRIVATE_KEY", " \r\n"),
        ("CA_CERTIFICATES", "\n"),
    ];
    let missing = messages(&blank);
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].starts_with("Broker Certificate is missing"));
    assert!(missing[1].starts_with("Broker Private Key is missing"));
    let long = CERTIFICATE.repeat(5000);
    assert!(
        messages(&[pair[0], ("CERTIFICATE", &long), pair[2]])[0]
            .contains("longer than 262144 bytes")
    );
}

#[test]
fn certificate_cn_needs_certificates_and_a_name() {
    assert_eq!(
        messages(&[("AUTHENTICATION", "certificate_cn")]),
        [
            "Authentication \"Certificate CN\" works only with TLS Support \"Certificate based\"; choose that, or another Authentication.",
            "Username is missing: for Certificate CN, enter the Common Name of the clients' certificates.",
        ]
    );
    let pair = [
        ("TLS", "certificate"),
        ("CERTIFICATE", CERTIFICATE),
        ("PRIVATE_KEY", PRIVATE_KEY),
    ];
    let name = [
        ("AUTHENTICATION", "certificate_cn"),
        ("USERNAME", "Data collector"),
    ];
    let missing = [&pair[..], &name].concat();
    assert!(
        messages(&missing)[0]
            .starts_with("CA Certificate(s) is missing: for Certificate CN, paste")
    );
    let settings = settings(&[&missing[..], &[("CA_CERTIFICATES", CERTIFICATE)]].concat());
    let common_name = "Data collector".to_string();
    assert_eq!(
        settings.authentication,
        Authentication::CertificateCn { common_name }
    );
}

#[test]
fn a_password_needs_a_user_name() {
    let password = ("AUTHENTICATION", "password");
    assert_eq!(
        messages(&[password]),
        [
            "Username is missing: Authentication \"Username/password\" needs one.",
            "Password is missing: Authentication \"Username/password\" needs one.",
        ]
    );
    for text in ["12345", " ", "häuschen $`'\"\\ 😀", &"x".repeat(65_535)] {
        let settings = settings(&[password, ("USERNAME", text), ("PASSWORD", text)]);
        let username = text.to_string();
        let password = Secret::new(text.as_bytes().to_vec());
        assert_eq!(
            settings.authentication,
            Authentication::Password { username, password }
        );
    }
    for wrong in [
        "hunter2\n",
        "hunter2\u{7f}",
        "hunter2\u{85}",
        &"hunter2".repeat(10_000),
    ] {
        let problems = messages(&[password, ("USERNAME", wrong), ("PASSWORD", wrong)]);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(
            problems.iter().all(|message| !message.contains("hunter2")),
            "{problems:?}"
        );
    }
    let mut values = given(&[password, ("USERNAME", "house")]);
    values.set("PASSWORD", b"hunter2\xff".to_vec());
    let problems = judge(&values).unwrap_err();
    assert_eq!(
        problems,
        [Problem::of(
            "PASSWORD",
            "Password is not text in UTF-8; type it again."
        )]
    );
}

#[test]
fn no_secret_is_ever_repeated() {
    for secret in [
        "hunter2",
        "hunter2\n",
        "hunter2\0",
        "0xhunter2",
        "hunter2-----BEGIN hunter2-----",
    ] {
        for tls in ["none", "psk", "certificate", "hunter"] {
            let mut values = given(&[("TLS", tls), ("AUTHENTICATION", "password"), ("PORT", "x")]);
            for field in FIELDS.iter().filter(|field| field.secret) {
                values.set(field.key, secret.as_bytes().to_vec());
            }
            let problems = judge(&values).unwrap_err();
            assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
        }
    }
    let settings = settings(&[
        ("AUTHENTICATION", "password"),
        ("USERNAME", "house"),
        ("PASSWORD", "hunter2"),
    ]);
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn what_does_not_apply_is_not_judged() {
    let unused = [
        ("PSK_KEY", "odd"),
        ("CERTIFICATE", "x"),
        ("USERNAME", "a\tb"),
        ("PASSWORD", "\n"),
    ];
    assert_eq!(settings(&unused), settings(&[]));
}

#[test]
fn no_value_holds_a_nul_byte() {
    let mut values = Values::defaults();
    for key in ["PORT", "PASSWORD", "UNKNOWN"] {
        values.set(key, b"1\x002".to_vec());
    }
    let problems = judge(&values).unwrap_err();
    let messages: Vec<_> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "UNKNOWN must not contain a NUL byte.",
            "Port must be a whole number from 1 to 65535; you entered \"1\\02\".",
            "Password must not contain a NUL byte.",
        ]
    );
}

#[test]
fn addresses_are_the_routers() {
    for text in ["192.168.1.1", "0.0.0.0", "::", "fc00:202::254"] {
        assert_eq!(
            settings(&[("BIND", text)]).bind,
            text.parse::<IpAddr>().ok()
        );
    }
    for wrong in [
        "router",
        "192.168.1",
        "192.168.1.1:1883",
        "[::1]",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        " ",
    ] {
        assert!(
            messages(&[("BIND", wrong)])[0]
                .starts_with("Bind Address must be an IPv4 or IPv6 address")
        );
    }
}

#[test]
fn origins_are_web_sites() {
    let text =
        " https://Panel.example.com  http://192.168.1.2:8080 http://[fc00::1] http://[fc00::1]:80 ";
    assert_eq!(
        settings(&[("WEBSOCKET_ORIGINS", text)]).websocket_origins,
        [
            "https://panel.example.com",
            "http://192.168.1.2:8080",
            "http://[fc00::1]",
            "http://[fc00::1]:80"
        ]
    );
    for wrong in [
        "*",
        "null",
        "panel",
        "ftp://a",
        "https://",
        "https://a/",
        "https://a:0",
        "https://a:x",
        "https://a:",
        "http://[::1",
        "a\nb",
        "https://a,https://b",
        "https://a:65536",
        "https://ä",
    ] {
        let messages = messages(&[("WEBSOCKET_ORIGINS", wrong)]);
        assert_eq!(messages.len(), 1, "{wrong}");
        assert!(
            messages[0].starts_with("WebSocket Origins must be web sites"),
            "{messages:?}"
        );
    }
}
