//! The table: every setting the broker knows.

use crate::validation::LARGEST_PACKET;
use crate::values::Values;

/// One row of the table: one setting.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Key in the settings file, without prefix: `PORT`.
    pub key: &'static str,
    /// Name in the form and in messages: `Port`.
    pub label: &'static str,
    /// What a value looks like.
    pub kind: Kind,
    /// Value where the file names none.
    pub default: &'static str,
    /// One plain sentence for the form.
    pub help: &'static str,
    /// All of these must hold for the field to apply. One that does not apply is stored, but neither judged nor used.
    pub shown_when: &'static [Condition],
    /// Never sent to a browser, never printed.
    pub secret: bool,
    /// One of the manual's twelve, which the form shows in this order.
    pub in_form: bool,
}

/// `key` has one of these values.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Another field's key.
    pub key: &'static str,
    /// Its values that fulfil the condition.
    pub values: &'static [&'static str],
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `0` or `1`.
    Switch,
    /// A whole number; empty as well where the default is empty.
    Number {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
        /// Whether 0 stands for "no limit".
        zero_is_unlimited: bool,
    },
    /// One of these.
    Choice(&'static [Choice]),
    /// One line of UTF-8 without control characters.
    Text {
        /// The longest, in bytes.
        max_bytes: usize,
    },
    /// Bytes in hexadecimal.
    Hex {
        /// The longest, in digits.
        max_digits: usize,
    },
    /// Certificates or a key in PEM format (RFC 7468): several lines.
    Pem {
        /// The longest, in bytes.
        max_bytes: usize,
    },
    /// An IP address; empty for all addresses.
    Address,
    /// Origins of web pages (RFC 6454), separated by spaces.
    Origins,
}

/// One value of a [`Kind::Choice`].
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// In the file.
    pub value: &'static str,
    /// In the form.
    pub label: &'static str,
}

/// The row of `key` (without prefix), if there is one.
pub fn field(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

impl Field {
    /// Whether this field means anything beside the other `values`.
    pub fn applies(&self, values: &Values) -> bool {
        self.shown_when.iter().all(|condition| {
            let value = values.get(condition.key);
            condition
                .values
                .iter()
                .any(|wanted| wanted.as_bytes() == value)
        })
    }
}

// The longest user name and password: an MQTT string has a two-byte length [MQTT 5.0, 1.5.4].
const MAX_MQTT_STRING: usize = 65_535;
// What OpenSSL takes as identity (PSK_MAX_IDENTITY_LEN), and as key: 512 bytes (PSK_MAX_PSK_LEN), two digits each.
const MAX_PSK_IDENTITY: usize = 256;
const MAX_PSK_DIGITS: usize = 1024;
// A whole browser's bundle of authorities has some 220 KB.
const MAX_PEM: usize = 256 * 1024;
const MAX_PACKET: u64 = LARGEST_PACKET as u64;
const MAX_U16: u64 = 65_535;
const MAX_U32: u64 = 4_294_967_295;

const WITH_PSK: &[Condition] = &[Condition {
    key: "TLS",
    values: &["psk"],
}];
const WITH_CERTIFICATE: &[Condition] = &[Condition {
    key: "TLS",
    values: &["certificate"],
}];
const WITH_NAME: &[Condition] = &[Condition {
    key: "AUTHENTICATION",
    values: &["password", "certificate_cn"],
}];
const WITH_PASSWORD: &[Condition] = &[Condition {
    key: "AUTHENTICATION",
    values: &["password"],
}];

const fn choice(value: &'static str, label: &'static str) -> Choice {
    Choice { value, label }
}

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number {
        min,
        max,
        zero_is_unlimited: false,
    }
}

const fn limit(max: u64) -> Kind {
    Kind::Number {
        min: 0,
        max,
        zero_is_unlimited: true,
    }
}

// What most rows of the form have in common, and most of the others.
const FORM: Field = Field {
    key: "",
    label: "",
    kind: Kind::Switch,
    default: "",
    help: "",
    shown_when: &[],
    secret: false,
    in_form: true,
};
const FURTHER: Field = Field {
    in_form: false,
    ..FORM
};

/// Every setting: first the form, in the manual's order (table 1), then those that only the file has.
pub static FIELDS: &[Field] = &[
    Field {
        key: "ENABLED",
        label: "Enable MQTT Broker",
        default: "0",
        help: "Starts the broker now and at every boot.",
        ..FORM
    },
    Field {
        key: "PORT",
        label: "Port",
        kind: number(1, MAX_U16),
        default: "1883",
        help: "The TCP port where clients connect.",
        ..FORM
    },
    Field {
        key: "LOG_LEVEL",
        label: "Log Level",
        kind: Kind::Choice(&[
            choice("error", "Error"),
            choice("warning", "Warning"),
            choice("info", "Info"),
            choice("debug", "Debug"),
        ]),
        default: "error",
        help: "How much the broker writes to the system log.",
        ..FORM
    },
    Field {
        key: "TLS",
        label: "TLS Support",
        kind: Kind::Choice(&[
            choice("none", "None"),
            choice("psk", "PSK based"),
            choice("certificate", "Certificate based"),
        ]),
        default: "none",
        help: "Whether connections are encrypted, and with what.",
        ..FORM
    },
    Field {
        key: "PSK_IDENTITY",
        label: "PSK Identity",
        kind: Kind::Text {
            max_bytes: MAX_PSK_IDENTITY,
        },
        help: "The name clients give with the pre-shared key.",
        shown_when: WITH_PSK,
        ..FORM
    },
    Field {
        key: "PSK_KEY",
        label: "Pre-shared Key",
        kind: Kind::Hex {
            max_digits: MAX_PSK_DIGITS,
        },
        help: "The key shared with the clients, in hexadecimal digits, such as \"openssl rand -hex 32\" prints.",
        shown_when: WITH_PSK,
        secret: true,
        ..FORM
    },
    Field {
        key: "CA_CERTIFICATES",
        label: "CA Certificate(s)",
        kind: Kind::Pem { max_bytes: MAX_PEM },
        help: "The certificates, in PEM format, of the authorities that sign the clients' certificates.",
        shown_when: WITH_CERTIFICATE,
        ..FORM
    },
    Field {
        key: "CERTIFICATE",
        label: "Broker Certificate",
        kind: Kind::Pem { max_bytes: MAX_PEM },
        help: "The broker's certificate in PEM format, followed by intermediate certificates if there are any.",
        shown_when: WITH_CERTIFICATE,
        ..FORM
    },
    Field {
        key: "PRIVATE_KEY",
        label: "Broker Private Key",
        kind: Kind::Pem { max_bytes: MAX_PEM },
        help: "The private key of the broker's certificate in PEM format, not protected by a password.",
        shown_when: WITH_CERTIFICATE,
        secret: true,
        ..FORM
    },
    Field {
        key: "AUTHENTICATION",
        label: "Authentication",
        kind: Kind::Choice(&[
            choice("none", "None"),
            choice("password", "Username/password"),
            choice("certificate_cn", "Certificate CN"),
        ]),
        default: "none",
        help: "How clients prove who they are.",
        ..FORM
    },
    Field {
        key: "USERNAME",
        label: "Username",
        kind: Kind::Text {
            max_bytes: MAX_MQTT_STRING,
        },
        help: "The user name of all clients or, with Certificate CN, the Common Name of the clients' certificates.",
        shown_when: WITH_NAME,
        ..FORM
    },
    Field {
        key: "PASSWORD",
        label: "Password",
        kind: Kind::Text {
            max_bytes: MAX_MQTT_STRING,
        },
        help: "The password of all clients.",
        shown_when: WITH_PASSWORD,
        secret: true,
        ..FORM
    },
    Field {
        key: "BIND",
        label: "Bind Address",
        kind: Kind::Address,
        help: "The router's address where the broker listens; empty for all its addresses.",
        ..FURTHER
    },
    Field {
        key: "MAX_CLIENTS",
        label: "Maximum Clients",
        kind: limit(1_000_000),
        default: "256",
        help: "How many clients may be connected at a time.",
        ..FURTHER
    },
    Field {
        key: "MAX_INFLIGHT",
        label: "Maximum Inflight Messages",
        kind: limit(MAX_U16),
        default: "20",
        help: "How many messages of QoS 1 and 2 may be on their way to or from a client at a time.",
        ..FURTHER
    },
    Field {
        key: "MAX_QUEUED_MESSAGES",
        label: "Maximum Queued Messages",
        kind: limit(MAX_U32),
        default: "1000",
        help: "How many messages wait for a client that is slow or away.",
        ..FURTHER
    },
    Field {
        key: "MAX_QUEUED_BYTES",
        label: "Maximum Queued Bytes",
        kind: limit(MAX_U32),
        default: "1048576",
        help: "How many bytes of messages wait for a client that is slow or away.",
        ..FURTHER
    },
    Field {
        key: "FULL_QUEUE_DROPS",
        label: "Full Queue Drops",
        kind: Kind::Choice(&[choice("oldest", "Oldest"), choice("newest", "Newest")]),
        default: "oldest",
        help: "Which message goes when too many wait for a client that is slow or away.",
        ..FURTHER
    },
    Field {
        key: "MAX_MEMORY",
        label: "Maximum Memory",
        kind: limit(MAX_U32),
        help: "How many bytes all queues and retained messages may take together; empty for an eighth of the router's memory.",
        ..FURTHER
    },
    Field {
        key: "MAX_PACKET_SIZE",
        label: "Maximum Packet Size",
        kind: limit(MAX_PACKET),
        default: "1048576",
        help: "The largest packet a client may send, in bytes.",
        ..FURTHER
    },
    Field {
        key: "MAX_KEEP_ALIVE",
        label: "Maximum Keep Alive",
        kind: limit(MAX_U16),
        default: "65535",
        help: "The longest Keep Alive a client may ask for, in seconds.",
        ..FURTHER
    },
    Field {
        key: "MAX_QOS",
        label: "Maximum QoS",
        kind: number(0, 2),
        default: "2",
        help: "The highest quality of service a client may publish with.",
        ..FURTHER
    },
    Field {
        key: "RETAIN_AVAILABLE",
        label: "Retain Available",
        default: "1",
        help: "Whether clients may publish retained messages.",
        ..FURTHER
    },
    Field {
        key: "MAX_TOPIC_ALIAS",
        label: "Maximum Topic Alias",
        kind: number(0, MAX_U16),
        default: "10",
        help: "How many topic aliases a client may use.",
        ..FURTHER
    },
    Field {
        key: "MAX_RETAINED",
        label: "Maximum Retained Messages",
        kind: limit(MAX_U32),
        default: "10000",
        help: "How many retained messages the broker keeps.",
        ..FURTHER
    },
    Field {
        key: "MAX_RETAINED_BYTES",
        label: "Maximum Retained Bytes",
        kind: limit(MAX_U32),
        help: "How many bytes all retained messages may take; empty for half of Maximum Memory.",
        ..FURTHER
    },
    Field {
        key: "MAX_SUBSCRIPTIONS",
        label: "Maximum Subscriptions",
        kind: limit(MAX_U32),
        default: "1000",
        help: "How many subscriptions one client may have.",
        ..FURTHER
    },
    Field {
        key: "MAX_TOPIC_LEVELS",
        label: "Maximum Topic Levels",
        kind: limit(MAX_U16),
        default: "201",
        help: "How many levels a topic name or topic filter may have.",
        ..FURTHER
    },
    Field {
        key: "MAX_TOPIC_LENGTH",
        label: "Maximum Topic Length",
        kind: number(1, MAX_U16),
        default: "65535",
        help: "How many bytes a topic name or topic filter may have.",
        ..FURTHER
    },
    Field {
        key: "MAX_SESSION_EXPIRY",
        label: "Maximum Session Expiry",
        kind: limit(MAX_U32),
        default: "1209600",
        help: "How long the session of a client that is away is kept, in seconds.",
        ..FURTHER
    },
    Field {
        key: "MAX_WILL_DELAY",
        label: "Maximum Will Delay",
        kind: limit(MAX_U32),
        default: "1209600",
        help: "How long the will message of a client that is away may be delayed, in seconds.",
        ..FURTHER
    },
    Field {
        key: "ALLOW_EMPTY_CLIENT_ID",
        label: "Allow Empty Client Identifier",
        default: "1",
        help: "Whether a client may leave its identifier to the broker.",
        ..FURTHER
    },
    Field {
        key: "SYS_INTERVAL",
        label: "$SYS Interval",
        kind: number(0, 86_400),
        default: "10",
        help: "Seconds between two updates of the $SYS topics; 0 switches them off.",
        ..FURTHER
    },
    Field {
        key: "CONNECT_RATE",
        label: "Connect Rate",
        kind: limit(1_000_000),
        default: "50",
        help: "How many new connections are taken per second.",
        ..FURTHER
    },
    Field {
        key: "CONNECT_TIMEOUT",
        label: "Connect Timeout",
        kind: number(1, 300),
        default: "10",
        help: "Seconds a client may take from its connection to its CONNECT packet, encryption included.",
        ..FURTHER
    },
    Field {
        key: "WEBSOCKET_ORIGINS",
        label: "WebSocket Origins",
        kind: Kind::Origins,
        help: "Web sites, such as https://panel.example.com, whose pages may connect to the broker.",
        ..FURTHER
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_manuals() {
        let labels: Vec<_> = FIELDS
            .iter()
            .filter(|field| field.in_form)
            .map(|field| field.label)
            .collect();
        assert_eq!(
            labels,
            [
                "Enable MQTT Broker",
                "Port",
                "Log Level",
                "TLS Support",
                "PSK Identity",
                "Pre-shared Key",
                "CA Certificate(s)",
                "Broker Certificate",
                "Broker Private Key",
                "Authentication",
                "Username",
                "Password"
            ]
        );
        assert!(FIELDS.is_sorted_by_key(|field| !field.in_form));
    }

    #[test]
    fn rows_are_sound() {
        for row in FIELDS {
            assert!(
                row.key
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
                "{}",
                row.key
            );
            assert_eq!(
                FIELDS
                    .iter()
                    .filter(|other| other.key == row.key || other.label == row.label)
                    .count(),
                1
            );
            assert!(
                !row.label.is_empty() && row.help.ends_with('.'),
                "{}",
                row.key
            );
            for condition in row.shown_when {
                let Some(Field {
                    kind: Kind::Choice(choices),
                    ..
                }) = field(condition.key)
                else {
                    panic!("{} depends on something that is no choice", row.key)
                };
                for value in condition.values {
                    assert!(
                        choices.iter().any(|choice| choice.value == *value),
                        "{}",
                        row.key
                    );
                }
            }
        }
        let secrets: Vec<_> = FIELDS
            .iter()
            .filter(|field| field.secret)
            .map(|field| field.key)
            .collect();
        assert_eq!(secrets, ["PSK_KEY", "PRIVATE_KEY", "PASSWORD"]);
    }

    #[test]
    fn what_applies_follows_the_choices() {
        let applying = |tls: &str, authentication: &str| {
            let mut values = Values::defaults();
            values.set("TLS", tls.into());
            values.set("AUTHENTICATION", authentication.into());
            FIELDS
                .iter()
                .filter(|field| !field.shown_when.is_empty() && field.applies(&values))
                .map(|field| field.key)
                .collect::<Vec<_>>()
        };
        assert!(applying("none", "none").is_empty());
        assert_eq!(
            applying("psk", "password"),
            ["PSK_IDENTITY", "PSK_KEY", "USERNAME", "PASSWORD"]
        );
        assert_eq!(
            applying("certificate", "certificate_cn"),
            ["CA_CERTIFICATES", "CERTIFICATE", "PRIVATE_KEY", "USERNAME"]
        );
    }
}
