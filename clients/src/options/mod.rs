//! What the tools are told by their command lines and option files.
//!
//! An [`Options`] is legal by construction: topics, properties and numbers are checked, what excludes each other is
//! refused, and every default is filled in, so that nothing behind it has to ask again.

mod file;
mod help;
mod judge;
mod mistake;
mod parse;
mod property;
mod proxy;
pub mod table;
mod tasks;
mod url;

use std::env;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use mqtt::{PropertiesBuffer, QoS, SubscriptionOptions, TopicName, Version};
use zeroize::Zeroizing;

pub use mistake::Mistake;

use crate::Tool;
use crate::format::Output;

/// What a command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Do this.
    Run(Box<Options>),
    /// Print this to standard output and end well: `--help`, `--version`.
    Print(String),
}

/// Where options come from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The command line's words behind the program's name.
    pub arguments: Vec<OsString>,
    /// `$XDG_CONFIG_HOME`, where the tool's option file is looked for.
    pub config_home: Option<OsString>,
    /// `$HOME`, where `.config` is that if the other is not set.
    pub home: Option<OsString>,
    /// The process's number, for `-I`.
    pub process: u32,
}

impl Origin {
    /// That of this process.
    pub fn of_process(arguments: impl Iterator<Item = OsString>) -> Origin {
        Origin {
            arguments: arguments.collect(),
            config_home: env::var_os("XDG_CONFIG_HOME"),
            home: env::var_os("HOME"),
            process: std::process::id(),
        }
    }
}

/// Reads the option file, then the command line.
///
/// # Errors
/// The first mistake.
pub fn read(tool: Tool, origin: &Origin) -> Result<Command, Mistake> {
    let default_file = file::default_path(tool, origin.config_home.clone(), origin.home.clone());
    match parse::note(tool, &origin.arguments, default_file) {
        Ok(noted) => {
            judge::judge(tool, noted, origin.process).map(|options| Command::Run(Box::new(options)))
        }
        Err(parse::Stop::Print(text)) => Ok(Command::Print(text)),
        Err(parse::Stop::Mistake(mistake)) => Err(mistake),
    }
}

/// Everything that one run of a tool needs to know.
#[derive(Debug)]
pub struct Options {
    /// How the Server is reached.
    pub connection: Connection,
    /// What CONNECT and DISCONNECT say.
    pub session: Session,
    /// What is done once connected: one kind for each tool.
    pub task: Task,
    /// Print a trace of the protocol to standard output (`-d`).
    pub debug: bool,
    /// Print no errors of the run, those of the command line excepted (`--quiet`).
    pub quiet: bool,
}

/// How the Server is reached.
#[derive(Debug)]
pub struct Connection {
    /// The Server's address.
    pub target: Target,
    /// The address that the socket is bound to, a name or a literal (`-A`).
    pub bind: Option<String>,
    /// Send small packets at once, TCP_NODELAY (`--nodelay`).
    pub nodelay: bool,
    /// The SOCKS5 proxy in between (`--proxy`).
    pub proxy: Option<Proxy>,
    /// TLS above the socket, None for plaintext. Where port 8883 alone has brought it in, it trusts the system's CAs.
    pub tls: Option<tls::ClientOptions>,
    /// MQTT in WebSocket frames, path `/mqtt` (`--ws`, `ws://`, `wss://`; MQTT 5.0 section 6).
    pub websocket: bool,
}

/// The Server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-h` and `-p`.
    Tcp {
        /// A name, an IPv4 address or a bare IPv6 address.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// The path of a unix socket: `--unix`, or `-h` with `-p 0`.
    Unix(PathBuf),
}

/// A SOCKS5 proxy (RFC 1928), which looks names up itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Proxy {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// 1080 unless it is stated.
    pub port: u16,
    /// Name and password for RFC 1929.
    pub credentials: Option<ProxyCredentials>,
}

/// What a proxy asks for (RFC 1929).
#[derive(Debug, PartialEq, Eq)]
pub struct ProxyCredentials {
    /// 1 to 255 bytes.
    pub username: Vec<u8>,
    /// At most 255 bytes.
    pub password: Zeroizing<Vec<u8>>,
}

/// What CONNECT and DISCONNECT say.
pub struct Session {
    /// `-V`, or 5.0 where `-D` or `-x` have brought it in.
    pub version: Version,
    /// The Client Identifier: `-i`, or `-I` with the process's number, or for 3.1 a random one; else empty.
    pub client_identifier: String,
    /// Clean Start (3.x: Clean Session); false with `-c`.
    pub clean_start: bool,
    /// Seconds, 5 to 65535 (`-k`).
    pub keep_alive: u16,
    /// `-u`
    pub username: Option<String>,
    /// `-P`. In 3.x there is none without a user name.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// `--will-topic` and its like.
    pub will: Option<Will>,
    /// How many messages of QoS 1 and 2 this Client has in flight towards the Server, at least 1 (`-M`). A Server of
    /// MQTT 5.0 may lower it with its Receive Maximum.
    pub max_inflight: u16,
    /// How many messages of QoS 1 and 2 the Server may have in flight towards this Client: the Receive Maximum that
    /// `connect_properties` state, at least 1.
    pub receive_maximum: u16,
    /// The Session ends with the Network Connection after this time, in seconds; `u32::MAX` is never. For 3.x it is 0 or
    /// `u32::MAX`, as `clean_start` has it.
    pub session_expiry: u32,
    /// CONNECT's properties, complete and in their order, Session Expiry Interval and Receive Maximum included. Empty
    /// below 5.0.
    pub connect_properties: PropertiesBuffer,
    /// DISCONNECT's properties. Empty below 5.0.
    pub disconnect_properties: PropertiesBuffer,
}

/// The Will Message.
#[derive(Debug)]
pub struct Will {
    /// A valid Topic Name (`--will-topic`).
    pub topic: String,
    /// `--will-payload`, at most 65535 bytes.
    pub payload: Vec<u8>,
    /// `--will-qos`
    pub qos: QoS,
    /// `--will-retain`
    pub retain: bool,
    /// Will Properties. Empty below 5.0.
    pub properties: PropertiesBuffer,
}

/// What is done once connected.
#[derive(Debug)]
pub enum Task {
    /// Of `mosquitto_pub`.
    Publish(Publish),
    /// Of `mosquitto_sub`.
    Subscribe(Subscribe),
    /// Of `mosquitto_rr`.
    Request(Request),
}

/// What `mosquitto_pub` sends.
#[derive(Debug)]
pub struct Publish {
    /// What is published.
    pub message: Message,
    /// How often it is published; 1 where the source is [`Source::Lines`] (`--repeat`).
    pub repeat: NonZeroU32,
    /// The time from the end of one delivery to the next (`--repeat-delay`).
    pub repeat_delay: Duration,
}

/// An Application Message to be sent.
#[derive(Debug)]
pub struct Message {
    /// A valid Topic Name (`-t`).
    pub topic: String,
    /// Where its payload comes from.
    pub source: Source,
    /// `-q`
    pub qos: QoS,
    /// `-r`
    pub retain: bool,
    /// PUBLISH's properties. With a Topic Alias among them, only the first packet of a Network Connection carries the
    /// topic too. Empty below 5.0.
    pub properties: PropertiesBuffer,
}

/// Where a payload comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is here, at most 268,435,455 bytes: `-m`, and empty for `-n`.
    Payload(Vec<u8>),
    /// The whole file (`-f`). Nothing was opened yet; where that fails the original writes two lines,
    /// `Error: Unable to open file "NAME".` and `Error loading input file "NAME".`, and ends with 1.
    File(PathBuf),
    /// All of standard input, which must not be empty (`-s`).
    StandardInput,
    /// Each line of standard input is a message (`-l`).
    Lines,
}

/// What `mosquitto_sub` subscribes to, and what it does with the messages.
#[derive(Debug)]
pub struct Subscribe {
    /// Valid Topic Filters for one SUBSCRIBE packet; may only be empty where `unsubscribe` is not (`-t`).
    pub filters: Vec<String>,
    /// Options of all these subscriptions (`-q`, `--retain-as-published`, `--retain-handling`, `-R`).
    pub options: SubscriptionOptions,
    /// SUBSCRIBE's properties. Empty below 5.0.
    pub subscribe_properties: PropertiesBuffer,
    /// Valid Topic Filters for one UNSUBSCRIBE packet, which follows SUBSCRIBE (`-U`).
    pub unsubscribe: Vec<String>,
    /// UNSUBSCRIBE's properties. Empty below 5.0.
    pub unsubscribe_properties: PropertiesBuffer,
    /// Valid Topic Filters: messages that one of them matches are passed over (`-T`).
    pub filter_out: Vec<String>,
    /// Which messages are printed by their RETAIN flag.
    pub retained: Retained,
    /// Have the Server forget every retained message that comes and that no `filter_out` matches: an empty retained
    /// message of QoS 1 is published to its topic, whether it is printed or not (`--remove-retained`).
    pub remove_retained: bool,
    /// End after so many printed messages (`-C`).
    pub count: Option<NonZeroU32>,
    /// End after this time, at least a second (`-W`).
    pub timeout: Option<Duration>,
    /// End when SUBSCRIBE is acknowledged (`-E`).
    pub exit_after_subscribe: bool,
    /// Print a message with this probability, 0.001 to 1 (`--random-filter`, there in percent).
    pub random_filter: Option<f64>,
    /// What is shown.
    pub show: Show,
}

/// Which messages are printed by their RETAIN flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retained {
    /// Retained and fresh ones.
    #[default]
    All,
    /// Fresh ones alone (`-R`).
    Never,
    /// Retained ones alone; the first fresh one is the end (`--retained-only`).
    Only,
}

/// What `mosquitto_sub` shows.
#[derive(Clone, Debug)]
pub enum Show {
    /// Every message.
    Messages(Output),
    /// The latest message of each topic, in a line of the terminal that is its own (`--watch`).
    Watch {
        /// The host's name, or the path of the socket.
        broker: String,
        /// How a message is printed.
        output: Output,
    },
    /// How many messages came in each second (`--message-rate`).
    Rate,
}

/// What `mosquitto_rr` asks and how it shows the answer.
#[derive(Debug)]
pub struct Request {
    /// The request. In 5.0 its properties have the Response Topic, and the Correlation Data if `-D` gives them.
    pub message: Message,
    /// A valid Topic Name, which is subscribed to before the request is sent (`-e`).
    pub response_topic: String,
    /// Options of that subscription.
    pub options: SubscriptionOptions,
    /// SUBSCRIBE's properties. Empty below 5.0.
    pub subscribe_properties: PropertiesBuffer,
    /// Pass over retained messages (`-R`).
    pub skip_retained: bool,
    /// The longest time to wait for the response, at least a second (`-W`).
    pub timeout: Option<Duration>,
    /// How the response is printed.
    pub output: Output,
}

impl Session {
    /// The packet CONNECT.
    pub fn connect(&self) -> mqtt::Connect<'_> {
        mqtt::Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_identifier: &self.client_identifier,
            will: self.will.as_ref().map(|will| mqtt::Will {
                topic: TopicName::from_valid(&will.topic),
                payload: &will.payload,
                qos: will.qos,
                retain: will.retain,
                properties: will.properties.as_properties(),
            }),
            username: self.username.as_deref(),
            password: self.password.as_ref().map(|password| password.as_slice()),
            properties: self.connect_properties.as_properties(),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("version", &self.version)
            .field("client_identifier", &self.client_identifier)
            .field("username", &self.username)
            .field("will", &self.will)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
