//! Why a client's handshake came to nothing, in words for the log.

use std::fmt;
use std::io;

use crate::client_cert::MOST_SENT;

/// Why a client was not let in. Its text says what is wrong and, where it can be told, what to do; the client's own words
/// in it are escaped.
#[derive(Debug)]
pub enum Refusal {
    /// The first byte is no TLS: 0x10 is a plain MQTT CONNECT.
    NotTls(u8),
    /// It offers nothing newer than TLS 1.1.
    VersionTooOld,
    /// It offers no cipher suite or no group that the broker has.
    NothingInCommon,
    /// It offers no cipher suite with a pre-shared key.
    NoPsk,
    /// It sent no certificate where one is needed.
    NoCertificate,
    /// Its certificate is not good enough.
    Certificate(CertificateRefusal),
    /// The name it gave with its pre-shared key is not the one in the settings.
    UnknownIdentity(String),
    /// It has the right PSK identity and another key.
    WrongKey,
    /// It refused the broker, by an alert (RFC 8446 6.2).
    Alert(u8),
    /// It closed the connection before the handshake was complete.
    Closed,
    /// The connection failed.
    Lost(io::Error),
    /// What it sent breaks the protocol; the library's words.
    Protocol(String),
}

/// What is wrong with a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateRefusal {
    /// No certificate authority in the settings signed it.
    OtherAuthority,
    /// It has run out. Both in seconds since 1970.
    Expired {
        /// The end of its validity.
        not_after: i64,
        /// The router's time.
        now: i64,
    },
    /// It is not valid yet. Both in seconds since 1970.
    NotYetValid {
        /// The beginning of its validity.
        not_before: i64,
        /// The router's time.
        now: i64,
    },
    /// It is not meant for clients.
    Purpose,
    /// Its key or a signature in its chain is too weak: RSA below 2048 bits, SHA-1, MD5.
    Weak,
    /// It is no certificate at all.
    Malformed,
    /// So many certificates were sent, its own included, that they are not looked at.
    TooMany(usize),
    /// The client does not hold its private key.
    Signature,
    /// Something else, in OpenSSL's words.
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotTls(0x10) => {
                f.write_str("it speaks MQTT without TLS, which this port demands")
            }
            Refusal::NotTls(_) => f.write_str("what it sends is not TLS, which this port demands"),
            Refusal::VersionTooOld => f.write_str("it offers no TLS version from 1.2 on"),
            Refusal::NothingInCommon => {
                f.write_str("it offers no cipher suite, group or signature that the broker has")
            }
            Refusal::NoPsk => f.write_str(
                "it offers no pre-shared key, or no cipher suite for one that the broker has",
            ),
            Refusal::NoCertificate => f.write_str("it sent no certificate"),
            Refusal::Certificate(refusal) => refusal.fmt(f),
            Refusal::UnknownIdentity(identity) => {
                write!(
                    f,
                    "its PSK identity \"{identity}\" is not the one in the settings"
                )
            }
            Refusal::WrongKey => f.write_str("its pre-shared key is not the one in the settings"),
            Refusal::Alert(number) => write!(f, "it refused the broker: {}", alert(*number)),
            Refusal::Closed => f.write_str("it closed the connection during the TLS handshake"),
            Refusal::Lost(error) => {
                write!(
                    f,
                    "the connection was lost during the TLS handshake: {error}"
                )
            }
            Refusal::Protocol(text) => write!(f, "the TLS handshake failed: {text}"),
        }
    }
}

impl fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateRefusal::OtherAuthority => {
                f.write_str("its certificate is not signed by the CA in the settings")
            }
            CertificateRefusal::Expired { not_after, now } => {
                let (end, now) = (date(*not_after), date(*now));
                write!(
                    f,
                    "its certificate expired on {end}; if {now} is not the time, check the router's time"
                )
            }
            CertificateRefusal::NotYetValid { not_before, now } => {
                let (start, now) = (date(*not_before), date(*now));
                write!(
                    f,
                    "its certificate is valid from {start} only and it is {now} here: check the router's time"
                )
            }
            CertificateRefusal::Purpose => {
                f.write_str("its certificate is not meant for clients (extended key usage)")
            }
            CertificateRefusal::Weak => f.write_str(
                "its certificate is too weak: RSA below 2048 bits, or signed with SHA-1 or MD5",
            ),
            CertificateRefusal::Malformed => f.write_str("its certificate is damaged"),
            CertificateRefusal::TooMany(number) => write!(
                f,
                "it sent {number} certificates, of which no more than {MOST_SENT} may lead from its own to the CA"
            ),
            CertificateRefusal::Signature => {
                f.write_str("its certificate is another's: it does not hold the private key")
            }
            CertificateRefusal::Other(text) => write!(f, "its certificate is refused: {text}"),
        }
    }
}

impl std::error::Error for CertificateRefusal {}

/// A time in seconds since 1970 as OpenSSL prints it, such as `Nov 25 18:00:00 2026 GMT`. OpenSSL itself is not asked: what it
/// takes as `time_t` has 64 bits on 32-bit ARM, and the crate that calls it gives 32.
pub(crate) fn date(seconds: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Counted from the first of March of the year 0, so that a leap day ends its year, its four and its four hundred.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + i64::from(month >= 10);
    let name = MONTHS[month as usize % MONTHS.len()];
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{name} {day:>2} {hour:02}:{minute:02}:{second:02} {year} GMT")
}

/// An alert's meaning for whoever looks after the client.
fn alert(number: u8) -> String {
    let text = match number {
        42 | 46 => "it does not accept the broker's certificate",
        45 => "the broker's certificate has expired, by the client's clock",
        48 => "it does not know the CA of the broker's certificate",
        40 => "it found no common ground",
        70 => "it does not speak TLS 1.2 or 1.3",
        20 | 51 => "it could not decrypt (is the pre-shared key the same?)",
        71 => "it finds the encryption too weak",
        90 | 0 => "it broke off",
        115 => "it does not know the PSK identity",
        _ => return format!("TLS alert {number}"),
    };
    text.to_string()
}

/// Words of a stranger's, made harmless for the log and short.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 64;
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(MOST).collect::<String>();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_cannot_forge_the_log() {
        let refusal = Refusal::UnknownIdentity(shown(b"a\nb\"\x1b\xff"));
        let text = refusal.to_string();
        assert!(text.contains("\"a\\nb\\\"\\u{1b}\u{fffd}\""), "{text}");
        assert!(shown(&[b'x'; 300]).chars().count() == 65);
    }

    #[test]
    fn dates_are_openssls() {
        for seconds in (0..253_402_300_800_i64)
            .step_by(86_400 * 17 + 4_321)
            .chain([951_782_399, 951_868_800, 4_107_542_399, 2_147_483_648])
        {
            // Where `time_t` is the same for both.
            #[cfg(target_pointer_width = "64")]
            let expected = openssl::asn1::Asn1Time::from_unix(seconds).unwrap();
            #[cfg(target_pointer_width = "64")]
            assert_eq!(date(seconds), expected.to_string());
        }
        assert_eq!(date(3_944_678_400), "Jan  1 00:00:00 2095 GMT");
        assert_eq!(date(-1), "Dec 31 23:59:59 1969 GMT");
    }

    #[test]
    fn a_router_without_its_clock_is_told_of_it() {
        let refusal = CertificateRefusal::NotYetValid {
            not_before: 1_700_000_000,
            now: 100,
        };
        let text = refusal.to_string();
        assert!(text.contains("Nov 14 22:13:20 2023 GMT"), "{text}");
        assert!(
            text.contains("Jan  1 00:01:40 1970 GMT here: check the router's time"),
            "{text}"
        );
    }
}
