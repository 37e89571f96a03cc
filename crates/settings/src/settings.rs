//! The settings the broker obeys.

use std::net::IpAddr;
use std::time::Duration;

use crate::problem::Problem;
use crate::secret::Secret;
use crate::validation;
use crate::values::Values;
use crate::warnings;

/// Legal by construction: every value is in its range and everything that others need is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether the broker runs at all.
    pub enabled: bool,
    /// The one port; with TLS nothing else listens in plaintext.
    pub port: u16,
    /// The least severe messages that are logged.
    pub log_level: LogLevel,
    /// What protects the connections.
    pub tls: Tls,
    /// How clients prove who they are.
    pub authentication: Authentication,
    /// Where to listen; `None`: on all addresses, IPv6 and IPv4.
    pub bind: Option<IpAddr>,
    /// Clients connected at a time; `None`: no limit.
    pub max_clients: Option<u32>,
    /// Messages of QoS 1 and 2 in flight per client, never 0.
    pub max_inflight: u16,
    /// Messages that wait for one client; `None`: no limit.
    pub max_queued_messages: Option<u32>,
    /// Bytes of messages that wait for one client; `None`: no limit.
    pub max_queued_bytes: Option<u64>,
    /// Which message goes when the queue of a client is full.
    pub full_queue_drops: Drops,
    /// Bytes of all queues and retained messages together; `None`: an eighth of the router's memory. A 0 in the file (no
    /// limit) is `u64::MAX` here.
    pub max_memory: Option<u64>,
    /// The largest packet taken from a client, never 0.
    pub max_packet_size: u32,
    /// The longest Keep Alive in seconds, never 0.
    pub max_keep_alive: u16,
    /// 0, 1 or 2.
    pub max_qos: u8,
    /// Whether clients may publish retained messages.
    pub retain_available: bool,
    /// Topic aliases a client may use; 0: none.
    pub max_topic_alias: u16,
    /// Retained messages kept; `None`: no limit.
    pub max_retained: Option<u32>,
    /// Bytes of all retained messages; `None`: half of `max_memory`. A 0 in the file (no limit) is `u64::MAX` here.
    pub max_retained_bytes: Option<u64>,
    /// Subscriptions of one client; `None`: no limit.
    pub max_subscriptions: Option<u32>,
    /// Levels of a topic name or filter; `None`: no limit.
    pub max_topic_levels: Option<u32>,
    /// Bytes of a topic name or filter, never 0.
    pub max_topic_length: u16,
    /// Seconds a session outlives its connection; `None`: no limit.
    pub max_session_expiry: Option<u32>,
    /// Seconds a will message may be delayed; `None`: no limit.
    pub max_will_delay: Option<u32>,
    /// Whether a client may leave its identifier to the broker.
    pub allow_empty_client_id: bool,
    /// Seconds between two updates of the `$SYS` topics; 0: none.
    pub sys_interval: u32,
    /// New connections per second; `None`: no limit.
    pub connect_rate: Option<u32>,
    /// From connection to CONNECT, encryption included; never zero.
    pub connect_timeout: Duration,
    /// Web sites whose pages may connect, in lower case: `https://host` or `https://host:port`.
    pub websocket_origins: Vec<String>,
}

/// Which message of a full queue goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drops {
    /// The one that has waited longest.
    Oldest,
    /// The one that has just come.
    Newest,
}

/// The least severe messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what the owner should look at, such as refused connections.
    Warning,
    /// And what happens in ordinary life.
    Info,
    /// And every packet.
    Debug,
}

/// What protects the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Nothing.
    None,
    /// One key shared by the broker and its clients.
    Psk {
        /// The name clients give with it.
        identity: String,
        /// The key's bytes (the file has them in hexadecimal).
        key: Secret,
    },
    /// The broker shows a certificate.
    Certificate {
        /// PEM: who signs the clients' certificates. Empty if nobody has to.
        ca: String,
        /// PEM: the broker's certificate and its chain.
        certificate: String,
        /// PEM: its key.
        private_key: Secret,
    },
}

impl Tls {
    /// The value in the settings file.
    pub fn name(&self) -> &'static str {
        match self {
            Tls::None => "none",
            Tls::Psk { .. } => "psk",
            Tls::Certificate { .. } => "certificate",
        }
    }
}

/// How clients prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all: anyone who passes the TLS layer is let in.
    None,
    /// By the one user name and password.
    Password {
        /// Never empty.
        username: String,
        /// Never empty.
        password: Secret,
    },
    /// By a certificate of the CA with this Common Name; only with [`Tls::Certificate`].
    CertificateCn {
        /// Never empty.
        common_name: String,
    },
}

impl Authentication {
    /// The value in the settings file.
    pub fn name(&self) -> &'static str {
        match self {
            Authentication::None => "none",
            Authentication::Password { .. } => "password",
            Authentication::CertificateCn { .. } => "certificate_cn",
        }
    }
}

impl Settings {
    /// Judges all values; the problems are all there are, in the order of the table.
    pub fn from_values(values: &Values) -> Result<Settings, Vec<Problem>> {
        validation::judge(values)
    }

    /// Reads and judges a settings file.
    pub fn parse(file: &[u8]) -> Result<Settings, Vec<Problem>> {
        Settings::from_values(&Values::parse(file)?)
    }

    /// What is legal but unwise. A broker that isn't enabled harms nobody and is not warned about.
    pub fn warnings(&self) -> Vec<Problem> {
        if self.enabled {
            warnings::of(self)
        } else {
            Vec::new()
        }
    }
}
