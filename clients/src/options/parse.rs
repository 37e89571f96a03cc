//! From words to [`Options`]: each word is looked up in the table and noted; then what is noted is judged as a whole.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use mqtt::{QoS, RetainHandling, TopicError, TopicFilter, TopicName, Version};
use zeroize::Zeroizing;

use crate::Tool;
use crate::format::Format;
use crate::options::mistake::Mistake;
use crate::options::property::{Command, Requested};
use crate::options::table::{Id, Row};
use crate::options::url::Url;
use crate::options::{Proxy, Source, file, help};

/// What the options say, as far as each can be judged alone.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) unix: Option<PathBuf>,
    pub(super) bind: Option<String>,
    pub(super) nodelay: bool,
    pub(super) websocket: bool,
    pub(super) proxy: Option<Proxy>,
    pub(super) keep_alive: Option<u16>,
    pub(super) client_id: Option<String>,
    pub(super) client_id_prefix: Option<String>,
    pub(super) keeps_session: bool,
    pub(super) session_expiry: Option<u32>,
    pub(super) version: Option<Version>,
    pub(super) username: Option<Vec<u8>>,
    pub(super) password: Option<Zeroizing<Vec<u8>>>,
    pub(super) properties: Requested,
    pub(super) max_inflight: Option<u16>,
    pub(super) will_topic: Option<String>,
    pub(super) will_payload: Option<Vec<u8>>,
    pub(super) will_qos: QoS,
    pub(super) will_retain: bool,
    pub(super) tls: tls::ClientOptions,
    pub(super) key_form: Option<Vec<u8>>,
    pub(super) has_engine: bool,
    pub(super) psk: Option<Zeroizing<Vec<u8>>>,
    pub(super) psk_identity: Option<String>,
    pub(super) no_tls: bool,
    pub(super) topics: Vec<String>,
    pub(super) source: Option<Source>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) repeat: Option<NonZeroU32>,
    pub(super) repeat_delay: Duration,
    pub(super) response_topic: Option<String>,
    pub(super) unsubscribe: Vec<String>,
    pub(super) filter_out: Vec<String>,
    pub(super) no_retained: bool,
    pub(super) retained_only: bool,
    pub(super) remove_retained: bool,
    pub(super) retain_as_published: bool,
    pub(super) retain_handling: Option<RetainHandling>,
    pub(super) count: Option<NonZeroU32>,
    pub(super) timeout: Option<Duration>,
    pub(super) exit_after_subscribe: bool,
    pub(super) verbose: bool,
    pub(super) format: Option<Format>,
    pub(super) no_newline: bool,
    pub(super) pretty: bool,
    pub(super) random_filter: Option<f64>,
    pub(super) watch: bool,
    pub(super) message_rate: bool,
    pub(super) debug: bool,
    pub(super) quiet: bool,
}

/// Why reading options ends before their end.
pub(super) enum Stop {
    /// `--help` or `--version`: what is to be printed.
    Print(String),
    /// A mistake.
    Mistake(Mistake),
}

impl From<Mistake> for Stop {
    fn from(mistake: Mistake) -> Self {
        Stop::Mistake(mistake)
    }
}

/// An option and the words of its value.
type Item<'a> = (&'static Row, Vec<&'a [u8]>);

/// Splits words into options. Ends after the first word that is none.
struct Items<'a, W: Iterator<Item = &'a [u8]>> {
    tool: Tool,
    words: W,
}

impl<'a, W: Iterator<Item = &'a [u8]>> Iterator for Items<'a, W> {
    type Item = Result<Item<'a>, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        let word = self.words.next()?;
        let Some(row) = Row::find(self.tool, word) else {
            let word = String::from_utf8_lossy(word);
            return Some(Err(Mistake::new(format!(
                "Error: Unknown option '{word}'."
            ))));
        };
        let Some(value) = row.value else {
            return Some(Ok((row, Vec::new())));
        };
        let mut values = Vec::new();
        let mut count = if row.id == Id::Property { 3 } else { 1 };
        while values.len() < count {
            match self.words.next() {
                Some(word) => values.push(word),
                None => return Some(Err(Mistake::of_option(format!("Error: {}", value.missing)))),
            }
            if row.id == Id::Property && values.len() == 2 {
                count = 2 + Requested::value_count(values[1]);
            }
        }
        Some(Ok((row, values)))
    }
}

/// Notes the options of file and command line; `default_file` is read unless `-o` names another.
pub(super) fn note(
    tool: Tool,
    arguments: &[OsString],
    default_file: Option<PathBuf>,
) -> Result<Noted, Stop> {
    let items = || Items {
        tool,
        words: arguments.iter().map(|word| word.as_bytes()),
    };
    let named = items()
        .map_while(Result::ok)
        .filter(|(row, _)| row.id == Id::OptionsFile)
        .last()
        .and_then(|(_, values)| values.first().map(|path| path_of(path)));
    let is_named = named.is_some();
    let mut noted = Noted::default();
    if let Some(path) = named.or(default_file) {
        let text = file::read(&path, is_named)?;
        for words in file::lines(tool, &text) {
            let words = words.into_iter();
            for item in (Items { tool, words }) {
                let (row, values) = item?;
                if row.id == Id::OptionsFile {
                    let text = "Error: -o is not allowed in an options file.";
                    return Err(Mistake::of_option(text).into());
                }
                noted.take(tool, row, &values)?;
            }
        }
    }
    for item in items() {
        let (row, values) = item?;
        noted.take(tool, row, &values)?;
    }
    Ok(noted)
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A whole number, and nothing else; one that is too large, or negative where that means nothing, is none.
fn number<N: std::str::FromStr>(bytes: &[u8]) -> Option<N> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A decimal number: digits, and a point among them at most.
fn decimal(bytes: &[u8]) -> Option<f64> {
    let is_plain = bytes
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'.');
    is_plain.then(|| number(bytes)).flatten()
}

fn qos(bytes: &[u8]) -> Option<QoS> {
    match bytes {
        b"0" => Some(QoS::AtMostOnce),
        b"1" => Some(QoS::AtLeastOnce),
        b"2" => Some(QoS::ExactlyOnce),
        _ => None,
    }
}

/// `-x`: -1 and the sign of infinity are the greatest number.
fn session_expiry(bytes: &[u8]) -> Result<u32, Mistake> {
    if bytes == "\u{221e}".as_bytes() {
        return Ok(u32::MAX);
    }
    let is_number = match bytes.strip_prefix(b"-").unwrap_or(bytes) {
        [] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    if !is_number {
        return Err(Mistake::of_option(
            "Error: session-expiry-interval not a number.",
        ));
    }
    if bytes == b"-1" {
        return Ok(u32::MAX);
    }
    number(bytes).ok_or_else(|| Mistake::of_option("Error: session-expiry-interval out of range."))
}

impl Noted {
    fn take(&mut self, tool: Tool, row: &Row, values: &[&[u8]]) -> Result<(), Stop> {
        let value = values.first().copied().unwrap_or_default();
        let text = || String::from_utf8(value.to_vec()).map_err(|_| Mistake::malformed(row.name()));
        let path = || path_of(value);
        let wrong = |text: &str| Mistake::of_option(text);
        match row.id {
            Id::Host => self.host = Some(text()?),
            Id::Port => {
                let port = number(value);
                self.port = Some(port.ok_or_else(|| {
                    Mistake::new(format!("Error: Invalid port given: {}", lossy(value)))
                })?);
            }
            Id::Url => self.take_url(tool, value)?,
            Id::Unix => self.unix = Some(path()),
            Id::Bind => self.bind = Some(text()?),
            Id::NoDelay => self.nodelay = true,
            Id::WebSocket => self.websocket = true,
            Id::Proxy => self.proxy = Some(Proxy::parse(value)?),
            Id::KeepAlive => {
                let seconds = number(value).filter(|seconds| *seconds >= 5);
                self.keep_alive = Some(seconds.ok_or_else(|| {
                    wrong(
                        "Error: Invalid keepalive given, it must be between 5 and 65535 inclusive.",
                    )
                })?);
            }
            Id::ClientId | Id::ClientIdPrefix => {
                let (this, other) = match row.id {
                    Id::ClientId => (&mut self.client_id, &self.client_id_prefix),
                    _ => (&mut self.client_id_prefix, &self.client_id),
                };
                if other.is_some() {
                    return Err(wrong("Error: -i and -I argument cannot be used together.").into());
                }
                *this = Some(text()?);
            }
            Id::DisableCleanSession => self.keeps_session = true,
            Id::SessionExpiry => self.session_expiry = Some(session_expiry(value)?),
            Id::ProtocolVersion => {
                self.version = Some(match value {
                    b"mqttv31" | b"31" => Version::V31,
                    b"mqttv311" | b"311" => Version::V311,
                    b"mqttv5" | b"5" => Version::V5,
                    _ => {
                        let text = "Error: Invalid protocol version argument given.";
                        return Err(wrong(text).into());
                    }
                });
            }
            Id::Username => self.username = Some(value.to_vec()),
            Id::Password => self.password = Some(Zeroizing::new(value.to_vec())),
            Id::Property => {
                let [command, identifier, values @ ..] = values else {
                    return Ok(());
                };
                self.properties.add(command, identifier, values)?;
            }
            Id::MaxInflight => {
                let greatest = number::<i64>(value).ok_or_else(|| {
                    let number = lossy(value);
                    wrong(&format!(
                        "Error: Invalid maximum inflight messages \"{number}\"."
                    ))
                })?;
                if greatest <= 0 {
                    let text = "Error: Maximum inflight messages must be greater than 0.";
                    return Err(wrong(text).into());
                }
                let greatest = u16::try_from(greatest).map_err(|_| {
                    wrong("Error: Maximum inflight messages must be less than 65536.")
                })?;
                self.max_inflight = Some(greatest);
            }
            Id::WillTopic => {
                self.will_topic = Some(topic_name(text()?, row.name(), "will")?);
            }
            Id::WillPayload => self.will_payload = Some(value.to_vec()),
            Id::WillQos => {
                self.will_qos = qos(value)
                    .ok_or_else(|| wrong(&format!("Error: Invalid will QoS {}.", lossy(value))))?;
            }
            Id::WillRetain => self.will_retain = true,
            Id::Topic => {
                let topic = topic_name(text()?, row.name(), "publish")?;
                self.topics = vec![topic];
            }
            Id::Filter => {
                let filter = topic_filter(text()?, row.name(), "subscription")?;
                self.topics.push(filter);
            }
            Id::ResponseTopic => {
                self.response_topic = Some(topic_name(text()?, row.name(), "response")?);
            }
            Id::Unsubscribe => {
                self.unsubscribe
                    .push(topic_filter(text()?, row.name(), "unsubscribe")?);
            }
            Id::FilterOut => self
                .filter_out
                .push(topic_filter(text()?, row.name(), "filter")?),
            Id::Message => {
                if value.len() > MAX_PAYLOAD {
                    let text = "Error: Message must be less than 268435456 bytes.";
                    return Err(wrong(text).into());
                }
                self.take_source(Source::Payload(value.to_vec()))?;
            }
            Id::File => self.take_source(Source::File(path()))?,
            Id::StandardInput => self.take_source(Source::StandardInput)?,
            Id::Lines => self.take_source(Source::Lines)?,
            Id::Null => self.take_source(Source::Payload(Vec::new()))?,
            Id::PublishQos | Id::SubscribeQos => {
                self.qos = qos(value).ok_or_else(|| {
                    Mistake::new(format!("Error: Invalid QoS given: {}", lossy(value)))
                })?;
            }
            Id::Retain => self.retain = true,
            Id::Repeat => {
                let count = number(value);
                self.repeat =
                    Some(count.ok_or_else(|| wrong("Error: --repeat argument must be >0."))?);
            }
            Id::RepeatDelay => {
                let delay = decimal(value)
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .ok_or_else(|| wrong("Error: --repeat-delay argument must be >=0.0."));
                self.repeat_delay = delay?;
            }
            Id::NoRetained => self.no_retained = true,
            Id::RetainedOnly => self.retained_only = true,
            Id::RemoveRetained => self.remove_retained = true,
            Id::RetainAsPublished => self.retain_as_published = true,
            Id::RetainHandling => {
                self.retain_handling = Some(match value {
                    b"always" => RetainHandling::Send,
                    b"new" => RetainHandling::SendIfNew,
                    b"never" => RetainHandling::DoNotSend,
                    _ => {
                        let value = lossy(value);
                        let text = format!(
                            "Error: Invalid --retain-handling '{value}': it must be always, new or never."
                        );
                        return Err(Mistake::of_option(text).into());
                    }
                });
            }
            Id::Count => {
                let count = number::<i32>(value).and_then(|count| u32::try_from(count).ok());
                self.count = Some(count.and_then(NonZeroU32::new).ok_or_else(|| {
                    wrong(&format!(
                        "Error: Invalid message count \"{}\".",
                        lossy(value)
                    ))
                })?);
            }
            Id::Timeout => {
                let seconds = number::<i32>(value).filter(|seconds| *seconds >= 1);
                let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
                self.timeout = Some(seconds.map(Duration::from_secs).ok_or_else(|| {
                    wrong(&format!("Error: Invalid timeout \"{}\".", lossy(value)))
                })?);
            }
            Id::ExitAfterSubscribe => self.exit_after_subscribe = true,
            Id::Verbose => self.verbose = true,
            Id::Format => {
                let format = Format::parse(value);
                self.format = Some(format.map_err(|text| Mistake::new(format!("Error: {text}")))?);
            }
            Id::NoNewline => self.no_newline = true,
            Id::Pretty => self.pretty = true,
            Id::RandomFilter => {
                let percent = decimal(value).filter(|percent| (0.1..=100.0).contains(percent));
                let percent = percent.ok_or_else(|| {
                    wrong("Error: --random-filter chance must be between 0.1-100.0")
                })?;
                self.random_filter = Some(percent / 100.0);
            }
            Id::Watch => self.watch = true,
            Id::MessageRate => self.message_rate = true,
            Id::CaFile => self.tls.ca_file = Some(path()),
            Id::CaPath => self.tls.ca_path = Some(path()),
            Id::OsCertificates => self.tls.os_certificates = true,
            Id::Certificate => self.tls.certificate = Some(path()),
            Id::PrivateKey => self.tls.private_key = Some(path()),
            Id::KeyForm => self.key_form = Some(value.to_vec()),
            Id::Engine | Id::EnginePassword => self.has_engine = true,
            Id::Ciphers => self.tls.ciphers = Some(text()?),
            Id::TlsVersion => {
                let version = std::str::from_utf8(value)
                    .ok()
                    .and_then(tls::Version::from_name);
                self.tls.version = Some(version.ok_or_else(|| {
                    Mistake::plain(format!(
                        "Error: Problem setting TLS options, check the options are valid.\n\
                         --tls-version is tlsv1.2 or tlsv1.3, not {}.",
                        lossy(value)
                    ))
                })?);
            }
            Id::Alpn => self.tls.alpn = Some(text()?),
            Id::Insecure => self.tls.insecure = true,
            Id::Psk => self.psk = Some(Zeroizing::new(value.to_vec())),
            Id::PskIdentity => self.psk_identity = Some(text()?),
            Id::NoTls => self.no_tls = true,
            Id::OptionsFile => {}
            Id::Debug => self.debug = true,
            Id::Quiet => self.quiet = true,
            Id::Help => return Err(Stop::Print(help::help(tool))),
            Id::Version => return Err(Stop::Print(help::version(tool))),
        }
        Ok(())
    }

    fn take_source(&mut self, source: Source) -> Result<(), Mistake> {
        if self.source.is_some() {
            return Err(Mistake::of_option(
                "Error: Only one type of message can be sent at once.",
            ));
        }
        self.source = Some(source);
        Ok(())
    }

    fn take_url(&mut self, tool: Tool, value: &[u8]) -> Result<(), Mistake> {
        let url = Url::parse(value)?;
        let text = |bytes| String::from_utf8(bytes).map_err(|_| Mistake::malformed("-L"));
        self.host = Some(text(url.host)?);
        self.port = Some(url.port);
        self.websocket |= url.websocket;
        self.tls.os_certificates |= url.tls;
        if url.username.is_some() {
            self.username = url.username;
        }
        if url.password.is_some() {
            self.password = url.password;
        }
        let topic = text(url.topic)?;
        match tool {
            Tool::Sub => self.topics.push(topic_filter(topic, "-L", "subscription")?),
            Tool::Pub | Tool::Rr => self.topics = vec![topic_name(topic, "-L", "publish")?],
        }
        Ok(())
    }

    /// The properties of a command.
    pub(super) fn take_properties(&mut self, command: Command) -> mqtt::PropertiesBuffer {
        std::mem::take(self.properties.of(command))
    }
}

/// The longest payload that can be given (the original's bound): a byte more fits no packet.
const MAX_PAYLOAD: usize = 268_435_455;

/// A Topic Name; `option` has it, `kind` is what messages call it.
fn topic_name(topic: String, option: &str, kind: &str) -> Result<String, Mistake> {
    match TopicName::new(&topic) {
        Ok(_) => Ok(topic),
        Err(TopicError::WildcardInName) => Err(Mistake::new(format!(
            "Error: Invalid {kind} topic '{topic}', does it contain '+' or '#'?"
        ))),
        Err(error) => Err(no_topic(&topic, option, kind, error)),
    }
}

/// A Topic Filter, likewise.
fn topic_filter(filter: String, option: &str, kind: &str) -> Result<String, Mistake> {
    match TopicFilter::new(&filter) {
        Ok(_) => Ok(filter),
        Err(TopicError::MultiLevelWildcard | TopicError::SingleLevelWildcard) => {
            Err(Mistake::new(format!(
                "Error: Invalid {kind} topic '{filter}', are all '+' and '#' wildcards correct?"
            )))
        }
        Err(error) => Err(no_topic(&filter, option, kind, error)),
    }
}

fn no_topic(topic: &str, option: &str, kind: &str, error: TopicError) -> Mistake {
    match error {
        // Mosquitto takes this for malformed.
        TopicError::ControlCharacter | TopicError::Nul => Mistake::of_option(format!(
            "Error: Malformed UTF-8 in {option} argument: {error}."
        )),
        _ => Mistake::new(format!("Error: Invalid {kind} topic '{topic}': {error}.")),
    }
}
