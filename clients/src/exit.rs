//! How the tools end: the exit codes that scripts know, and what is said on standard error.

use std::fmt::{self, Write as _};
use std::io;

use mqtt::ReasonCode;

/// Why a tool ends other than well.
///
/// The numbers are those of Mosquitto's library, which scripts test for. A broker's refusal has the broker's own number:
/// the return code of CONNACK in 3.x, its Reason Code in 5.0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The host's name has no address.
    Lookup,
    /// No Network Connection came about.
    Dial(io::Error),
    /// The options of TLS cannot be obeyed, as a file of theirs cannot be read.
    TlsOptions(tls::ClientError),
    /// TLS found no agreement with the broker, or does not trust it.
    Tls(tls::ClientError),
    /// The proxy does not let us through.
    Proxy(String),
    /// The broker refused CONNECT.
    Refused(Refusal),
    /// The broker sent what no broker may send.
    Protocol,
    /// The broker ended the connection with DISCONNECT.
    Disconnected,
    /// The Network Connection ended before all was done.
    Lost,
    /// So it did, with words of TLS: the broker refuses our certificate, for example.
    Broken(io::Error),
    /// The message has a higher QoS than the broker allows [MQTT-3.2.2-11].
    QosNotSupported,
    /// The packet is larger than the broker takes [MQTT-3.2.2-15], or than any may be.
    PacketTooLarge,
    /// A message cannot be read from where it is to come from; the lines that say so.
    Input(String),
    /// The file of a message cannot be read to its end, while it is sent.
    File(io::Error),
    /// Something of this machine does not work.
    System(io::Error),
    /// The time of `-W` is over.
    TimedOut,
    /// So it is, or a signal came, before the broker had answered CONNECT.
    NotConnected,
}

/// What CONNACK said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The return code of 3.x.
    ReturnCode(u8),
    /// The Reason Code of 5.0.
    ReasonCode(u8),
}

impl Failure {
    /// The number that the program ends with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Lookup
            | Failure::Dial(_)
            | Failure::TlsOptions(_)
            | Failure::Input(_)
            | Failure::File(_) => 1,
            Failure::Protocol => 2,
            Failure::Disconnected => 4,
            Failure::Lost | Failure::Broken(_) => 7,
            Failure::Tls(_) => 8,
            Failure::System(_) => 14,
            Failure::Proxy(_) => 16,
            Failure::QosNotSupported => 24,
            Failure::PacketTooLarge => 25,
            Failure::TimedOut => 27,
            Failure::NotConnected => 255,
            Failure::Refused(Refusal::ReturnCode(code) | Refusal::ReasonCode(code)) => *code,
        }
    }

    /// Whether another attempt may do better. What a broker that has accepted us once says against it now is an accident.
    pub(crate) fn may_pass(&self, was_online: bool) -> bool {
        match self {
            Failure::Lookup
            | Failure::Dial(_)
            | Failure::Tls(_)
            | Failure::Proxy(_)
            | Failure::Lost => true,
            Failure::Broken(_) => was_online,
            _ => false,
        }
    }

    /// The lines for standard error, which `--quiet` silences. `says_more`: after what the broker says of its refusal, the
    /// same in general, as only `mosquitto_pub` does.
    pub(crate) fn lines(&self, says_more: bool) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(says_more, &mut out);
        out
    }

    fn write(&self, says_more: bool, out: &mut String) -> fmt::Result {
        match self {
            Failure::Lookup => writeln!(out, "Unable to connect (Lookup error.)."),
            Failure::Dial(error) | Failure::System(error) => {
                writeln!(out, "Error: {}", words(error))
            }
            Failure::TlsOptions(tls::ClientError::File(path, error))
                if error.kind() == io::ErrorKind::NotFound =>
            {
                writeln!(out, "Error: Problem setting TLS options: File not found.")?;
                writeln!(out, "{}", path.display())
            }
            Failure::TlsOptions(error) => {
                writeln!(out, "Unable to connect (A TLS error occurred.).")?;
                tls_lines(error, out)
            }
            Failure::Tls(error) => {
                writeln!(out, "Error: A TLS error occurred.")?;
                tls_lines(error, out)
            }
            Failure::Proxy(why) => writeln!(out, "Error: Proxy error: {why}"),
            Failure::Refused(refusal) => {
                writeln!(out, "Connection error: {refusal}")?;
                match refusal {
                    _ if !says_more => Ok(()),
                    Refusal::ReturnCode(1..=5) => {
                        writeln!(out, "Error: The connection was refused.")
                    }
                    _ => writeln!(out, "{PROTOCOL}"),
                }
            }
            Failure::Protocol => writeln!(out, "{PROTOCOL}"),
            Failure::Disconnected => writeln!(out, "Error: The client is not currently connected."),
            Failure::Lost => writeln!(out, "Error: The connection was lost."),
            Failure::Broken(error) => {
                writeln!(out, "Error: The connection was lost.")?;
                writeln!(out, "{}.", words(error))
            }
            Failure::QosNotSupported => {
                writeln!(
                    out,
                    "Error: Message QoS not supported on broker, try a lower QoS."
                )
            }
            Failure::PacketTooLarge => writeln!(out, "Error: Message too large for the broker."),
            Failure::Input(lines) => out.write_str(lines),
            Failure::File(error) => writeln!(out, "Error: Unable to read file: {}.", words(error)),
            Failure::TimedOut => writeln!(out, "Timed out"),
            Failure::NotConnected => Ok(()),
        }
    }
}

const PROTOCOL: &str =
    "Error: A network protocol error occurred when communicating with the broker.";

fn tls_lines(error: &tls::ClientError, out: &mut String) -> fmt::Result {
    writeln!(out, "{error}.")?;
    for line in error.openssl() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Refusal::ReturnCode(1) => "Connection Refused: unacceptable protocol version.",
            Refusal::ReturnCode(2) => "Connection Refused: identifier rejected.",
            Refusal::ReturnCode(3) => "Connection Refused: broker unavailable.",
            Refusal::ReturnCode(4) => "Connection Refused: bad user name or password.",
            Refusal::ReturnCode(5) => "Connection Refused: not authorised.",
            Refusal::ReturnCode(_) => "Connection Refused: unknown reason.",
            Refusal::ReasonCode(0x84) => {
                "Unsupported Protocol Version. Try an MQTT v5 broker, or use MQTT v3.x mode."
            }
            Refusal::ReasonCode(code) => return out.write_str(&reason(*code)),
        })
    }
}

/// A Reason Code as the table of the standard writes it (MQTT 5.0 section 2.4).
pub(crate) fn reason(code: u8) -> String {
    let Ok(code) = ReasonCode::try_from(code) else {
        return format!("Unknown reason {code}");
    };
    match code {
        ReasonCode::MalformedPacket => "Malformed Packet".into(),
        ReasonCode::ProtocolError => "Protocol Error".into(),
        ReasonCode::ClientIdentifierNotValid => "Client Identifier not valid".into(),
        ReasonCode::BadUserNameOrPassword => "Bad User Name or Password".into(),
        ReasonCode::TopicNameInvalid => "Topic Name invalid".into(),
        ReasonCode::PacketIdentifierInUse => "Packet Identifier in use".into(),
        ReasonCode::PacketIdentifierNotFound => "Packet Identifier not found".into(),
        _ => {
            let mut characters = code.words().chars();
            let first = characters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(characters).collect()
        }
    }
}

/// The system's words, without the number that Rust adds.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal) -> (u8, String) {
        let failure = Failure::Refused(refusal);
        (failure.code(), failure.lines(true))
    }

    #[test]
    fn refusals_of_3() {
        assert_eq!(
            refused(Refusal::ReturnCode(5)),
            (
                5,
                "Connection error: Connection Refused: not authorised.\nError: The connection was refused.\n"
                    .to_string()
            )
        );
        let (code, lines) = refused(Refusal::ReturnCode(6));
        assert_eq!(code, 6);
        assert!(
            lines.starts_with("Connection error: Connection Refused: unknown reason.\n"),
            "{lines}"
        );
        assert!(lines.ends_with("communicating with the broker.\n"));
    }

    #[test]
    fn refusals_of_5() {
        let cases = [
            (0x80, "Unspecified error"),
            (0x81, "Malformed Packet"),
            (0x83, "Implementation specific error"),
            (0x85, "Client Identifier not valid"),
            (0x86, "Bad User Name or Password"),
            (0x87, "Not authorized"),
            (0x8B, "Server shutting down"),
            (0x90, "Topic Name invalid"),
            (0x9B, "QoS not supported"),
            (0x9F, "Connection rate exceeded"),
        ];
        for (code, text) in cases {
            let failure = Failure::Refused(Refusal::ReasonCode(code));
            assert_eq!(failure.code(), code);
            assert_eq!(failure.lines(false), format!("Connection error: {text}\n"));
            assert_eq!(failure.lines(true).lines().count(), 2);
        }
        let (code, lines) = refused(Refusal::ReasonCode(0x84));
        assert_eq!(code, 132);
        assert!(lines.contains("use MQTT v3.x mode"), "{lines}");
    }

    #[test]
    fn the_systems_words_alone() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(words(&refused), "Connection refused");
        assert_eq!(words(&io::Error::other("so")), "so");
    }
}
