//! All values are judged, each by itself and beside the others, and everything that is wrong is said at once.

use std::time::Duration;

use crate::judge::Judge;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::settings::{Authentication, Drops, LogLevel, Settings, Tls};
use crate::values::Values;

/// The longest MQTT packet: fixed header (5) and the largest Remaining Length [MQTT 5.0, 2.1.4].
pub(crate) const LARGEST_PACKET: u32 = 5 + 268_435_455;

/// Makes settings of `values`, or says all that is wrong with them in the order of the table.
pub(crate) fn judge(values: &Values) -> Result<Settings, Vec<Problem>> {
    let mut judge = Judge {
        values,
        problems: Vec::new(),
    };
    let settings = Settings {
        enabled: judge.switch("ENABLED"),
        port: judge.number("PORT"),
        log_level: log_level(&mut judge),
        tls: tls(&mut judge),
        authentication: authentication(&mut judge),
        bind: judge.address("BIND"),
        max_clients: judge.limit("MAX_CLIENTS"),
        max_inflight: judge.limit("MAX_INFLIGHT").unwrap_or(u16::MAX),
        max_queued_messages: judge.limit("MAX_QUEUED_MESSAGES"),
        max_queued_bytes: judge.limit("MAX_QUEUED_BYTES"),
        max_memory: bytes_or_empty(&mut judge, "MAX_MEMORY"),
        full_queue_drops: match judge.choice("FULL_QUEUE_DROPS") {
            "newest" => Drops::Newest,
            _ => Drops::Oldest,
        },
        max_packet_size: judge.limit("MAX_PACKET_SIZE").unwrap_or(LARGEST_PACKET),
        max_keep_alive: judge.limit("MAX_KEEP_ALIVE").unwrap_or(u16::MAX),
        max_qos: judge.number("MAX_QOS"),
        retain_available: judge.switch("RETAIN_AVAILABLE"),
        max_topic_alias: judge.number("MAX_TOPIC_ALIAS"),
        max_retained: judge.limit("MAX_RETAINED"),
        max_retained_bytes: bytes_or_empty(&mut judge, "MAX_RETAINED_BYTES"),
        max_subscriptions: judge.limit("MAX_SUBSCRIPTIONS"),
        max_topic_levels: judge.limit("MAX_TOPIC_LEVELS"),
        max_topic_length: judge.number("MAX_TOPIC_LENGTH"),
        max_session_expiry: judge.limit("MAX_SESSION_EXPIRY"),
        max_will_delay: judge.limit("MAX_WILL_DELAY"),
        allow_empty_client_id: judge.switch("ALLOW_EMPTY_CLIENT_ID"),
        sys_interval: judge.number("SYS_INTERVAL"),
        connect_rate: judge.limit("CONNECT_RATE"),
        connect_timeout: Duration::from_secs(judge.number("CONNECT_TIMEOUT")),
        websocket_origins: judge.origins("WEBSOCKET_ORIGINS"),
    };
    judge.nul_bytes();
    let mut problems = judge.problems;
    if problems.is_empty() {
        return Ok(settings);
    }
    Problem::sort(&mut problems);
    Err(problems)
}

/// A limit in bytes, `u64::MAX` for none; `None` where the field is empty, so that the broker chooses.
fn bytes_or_empty(judge: &mut Judge<'_>, key: &str) -> Option<u64> {
    judge
        .given(key)
        .then(|| judge.limit(key).unwrap_or(u64::MAX))
}

fn log_level(judge: &mut Judge<'_>) -> LogLevel {
    match judge.choice("LOG_LEVEL") {
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warning" => LogLevel::Warning,
        _ => LogLevel::Error,
    }
}

fn tls(judge: &mut Judge<'_>) -> Tls {
    match judge.choice("TLS") {
        "psk" => {
            let identity = "enter the name that clients give with the pre-shared key";
            let key = "enter the hexadecimal digits that \"openssl rand -hex 32\" prints";
            Tls::Psk {
                identity: judge.text("PSK_IDENTITY", identity),
                key: Secret::new(judge.hex("PSK_KEY", key)),
            }
        }
        "certificate" => {
            let certificate = "paste the broker's certificate in PEM format";
            let key = "paste the private key of the broker's certificate in PEM format";
            Tls::Certificate {
                ca: ca_certificates(judge),
                certificate: judge.pem("CERTIFICATE", certificate),
                private_key: Secret::new(judge.pem("PRIVATE_KEY", key).into_bytes()),
            }
        }
        _ => Tls::None,
    }
}

/// A broker that asks its clients for no certificate needs no CA: a public one may have signed its own.
fn ca_certificates(judge: &mut Judge<'_>) -> String {
    let needed = judge.values.get("AUTHENTICATION") == b"certificate_cn";
    if !needed && judge.is_blank("CA_CERTIFICATES") {
        return String::new();
    }
    let why = "for Certificate CN, paste in PEM format the certificate of the CA that signs the clients' certificates";
    judge.pem("CA_CERTIFICATES", why)
}

fn authentication(judge: &mut Judge<'_>) -> Authentication {
    match judge.choice("AUTHENTICATION") {
        "password" => {
            let why = "Authentication \"Username/password\" needs one";
            Authentication::Password {
                username: judge.text("USERNAME", why),
                password: Secret::new(judge.text("PASSWORD", why).into_bytes()),
            }
        }
        "certificate_cn" => {
            if judge.values.get("TLS") != b"certificate" {
                let what = "\"Certificate CN\" works only with TLS Support \"Certificate based\"";
                judge.refuse(
                    "AUTHENTICATION",
                    &format!("{what}; choose that, or another Authentication"),
                );
            }
            let why = "for Certificate CN, enter the Common Name of the clients' certificates";
            Authentication::CertificateCn {
                common_name: judge.text("USERNAME", why),
            }
        }
        _ => Authentication::None,
    }
}

#[cfg(test)]
mod tests;
