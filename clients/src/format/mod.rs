//! How messages are printed: payloads, topics and payloads, or the language of `-F`.

mod json;
mod language;
mod print;
mod time;

use std::io::{self, Write};
use std::time::SystemTime;

use mqtt::Publish;

pub use language::Format;

/// How messages are printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// What of a message is printed.
    pub layout: Layout,
    /// A newline follows each message; not with `-N`.
    pub newline: bool,
    /// JSON is indented (`--pretty`).
    pub pretty: bool,
}

/// What of a message is printed.
#[derive(Clone, Debug, PartialEq)]
pub enum Layout {
    /// The payload. Where that is empty, nothing at all.
    Payload,
    /// Topic and payload, `(null)` for an empty one (`-v`). Without newline an empty one is nothing at all.
    Verbose,
    /// What `-F` says.
    Format(Format),
}

impl Output {
    /// Prints a message that has come at `now`; its topic must not be left to a Topic Alias.
    ///
    /// What of the message cannot be printed by the format is left out, and each such part told by a line for standard
    /// error, without its end: `Error: ...`. The caller flushes.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(
        &self,
        message: &Publish<'_>,
        now: SystemTime,
        out: &mut dyn Write,
    ) -> io::Result<Vec<String>> {
        let topic = message
            .topic
            .map(mqtt::TopicName::as_str)
            .unwrap_or_default();
        let mut complaints = Vec::new();
        match &self.layout {
            Layout::Payload if message.payload.is_empty() => return Ok(complaints),
            Layout::Payload => out.write_all(message.payload)?,
            Layout::Verbose if message.payload.is_empty() => {
                if !self.newline {
                    return Ok(complaints);
                }
                write!(out, "{topic} (null)")?;
            }
            Layout::Verbose => {
                write!(out, "{topic} ")?;
                out.write_all(message.payload)?;
            }
            Layout::Format(format) => {
                let mut printer = print::Printer {
                    message,
                    topic,
                    now,
                    pretty: self.pretty,
                    out,
                    complaints: Vec::new(),
                };
                printer.print(format)?;
                complaints = printer.complaints;
            }
        }
        if self.newline {
            out.write_all(b"\n")?;
        }
        Ok(complaints)
    }
}

#[cfg(test)]
mod tests {
    use mqtt::{Properties, PropertiesBuffer, Property, QoS, TopicName};

    use super::*;

    /// A message on `a/bc` as it comes from the network.
    pub(super) fn message<'a>(payload: &'a [u8], properties: Properties<'a>) -> Publish<'a> {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: TopicName::new("a/bc").ok(),
            packet_identifier: None,
            properties,
            payload,
        }
    }

    fn written(output: &Output, message: &Publish<'_>) -> (String, Vec<String>) {
        let mut out = Vec::new();
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::new(1_795_338_735, 5_000_001);
        let complaints = output
            .write(message, now, &mut out)
            .expect("memory takes all");
        (String::from_utf8_lossy(&out).into_owned(), complaints)
    }

    fn formatted(format: &str, message: &Publish<'_>) -> String {
        let format = Format::parse(format.as_bytes()).expect(format);
        let output = Output {
            layout: Layout::Format(format),
            newline: false,
            pretty: false,
        };
        let (text, complaints) = written(&output, message);
        assert_eq!(complaints, Vec::<String>::new());
        text
    }

    fn check(cases: &[(&str, &str)], message: &Publish<'_>) {
        for (format, expected) in cases {
            assert_eq!(formatted(format, message), *expected, "{format}");
        }
    }

    #[test]
    fn layouts_without_a_format() {
        for (layout, newline, payload, expected) in [
            (Layout::Payload, true, "abc", "abc\n"),
            (Layout::Payload, false, "abc", "abc"),
            (Layout::Payload, true, "", ""),
            (Layout::Payload, false, "", ""),
            (Layout::Verbose, true, "abc", "a/bc abc\n"),
            (Layout::Verbose, false, "abc", "a/bc abc"),
            (Layout::Verbose, true, "", "a/bc (null)\n"),
            (Layout::Verbose, false, "", ""),
        ] {
            let output = Output {
                layout,
                newline,
                pretty: false,
            };
            let (text, _) = written(&output, &message(payload.as_bytes(), Properties::EMPTY));
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn payloads_are_any_bytes() {
        let output = Output {
            layout: Layout::Payload,
            newline: true,
            pretty: false,
        };
        let mut out = Vec::new();
        let payload = b"\0\xff\n\x1b";
        let message = message(payload, Properties::EMPTY);
        let written = output.write(&message, SystemTime::now(), &mut out);
        assert!(written.is_ok_and(|complaints| complaints.is_empty()));
        assert_eq!(out, b"\0\xff\n\x1b\n");
    }

    // What mosquitto_sub 2.0 prints for the same message, unless a comment says otherwise.
    #[test]
    fn topics() {
        check(
            &[
                ("[%t]", "[a/bc]"),
                ("[%10t]", "[      a/bc]"),
                ("[%-10t]", "[a/bc      ]"),
                ("[%010t]", "[      a/bc]"),
                ("[%.2t]", "[a/]"),
                ("[%2t]", "[a/bc]"),
                ("[%-10.2t]", "[a/        ]"),
            ],
            &message(b"hello", Properties::EMPTY),
        );
    }

    #[test]
    fn payloads() {
        check(
            &[
                ("[%p]", "[hello]"),
                ("[%10p]", "[     hello]"),
                ("[%-10p]", "[hello     ]"),
                ("[%010p]", "[00000hello]"),
                ("[%3p]", "[hel]"),
                ("[%.3p]", "[hello]"),
                ("[%10.3p]", "[     hello]"),
                ("[%-010p]", "[hello     ]"),
            ],
            &message(b"hello", Properties::EMPTY),
        );
        check(
            &[("[%p]", "[]"), ("[%5p]", "[     ]")],
            &message(b"", Properties::EMPTY),
        );
    }

    #[test]
    fn hexadecimal_payloads() {
        check(
            &[
                ("[%x]", "[68656c6c6f]"),
                ("[%X]", "[68656C6C6F]"),
                ("[%10x]", "[68656c6c6f]"),
                ("[%12x]", "[  68656c6c6f]"),
                ("[%-12x]", "[68656c6c6f  ]"),
                ("[%012x]", "[0068656c6c6f]"),
                ("[%3x]", "[68656c]"),
                ("[%.3x]", "[68656c6c6f]"),
                ("[%.2:x]", "[68:65:6c:6c:6f]"),
                ("[%.2 X]", "[68 65 6C 6C 6F]"),
                ("[%.4-x]", "[6865-6c6c-6f]"),
                ("[%.3.x]", "[686.56c.6c6.f]"),
                ("[%.10:x]", "[68656c6c6f]"),
                ("[%2.2:x]", "[68:65]"),
                ("[%16.2:x]", "[  68:65:6c:6c:6f]"),
            ],
            &message(b"hello", Properties::EMPTY),
        );
        check(
            &[("[%x]", "[]"), ("[%5x]", "[     ]"), ("[%.2:x]", "[]")],
            &message(b"", Properties::EMPTY),
        );
    }

    #[test]
    fn numbers() {
        let mut message = message(b"hello", Properties::EMPTY);
        check(
            &[
                ("[%l]", "[5]"),
                ("[%5l]", "[    5]"),
                ("[%05l]", "[00005]"),
                ("[%-5l]", "[5    ]"),
                ("[%5.3l]", "[    5]"),
                ("[%q%r%m]", "[000]"),
                ("[%5q]", "[0]"),
                ("[%05m]", "[00000]"),
                ("[%-5m]", "[0    ]"),
            ],
            &message,
        );
        message.qos = QoS::ExactlyOnce;
        message.retain = true;
        message.packet_identifier = std::num::NonZeroU16::new(77);
        check(&[("%q%r%m", "2177"), ("%5m", "   77")], &message);
    }

    #[test]
    fn characters() {
        check(
            &[
                ("%% @@ \\\\ %5%", "% @ \\ %"),
                ("[\\a\\e\\n\\r\\t\\v\\0]", "[\x07\x1b\n\r\t\x0b\0]"),
                ("", ""),
                ("plain text", "plain text"),
            ],
            &message(b"x", Properties::EMPTY),
        );
    }

    #[test]
    fn absent_properties() {
        check(
            &[
                ("[%A|%C|%D|%E|%F|%P|%R|%S]", "[|||||||]"),
                (
                    "[%5A|%5C|%5D|%5E|%5F|%5P|%5R|%5S]",
                    "[     |     ||     |     |||     ]",
                ),
                ("[%05A|%05E]", "[00000|00000]"),
            ],
            &message(b"x", Properties::EMPTY),
        );
    }

    #[test]
    fn properties() {
        let mut buffer = PropertiesBuffer::new();
        for property in [
            Property::TopicAlias(3),
            Property::ContentType("ct"),
            Property::CorrelationData(b"cd"),
            Property::MessageExpiryInterval(77),
            Property::PayloadFormatIndicator(1),
            Property::UserProperty("k", "v"),
            Property::UserProperty("", ""),
            Property::ResponseTopic("rt"),
            Property::SubscriptionIdentifier(9),
            Property::SubscriptionIdentifier(10),
        ] {
            buffer.push(property).expect("legal");
        }
        check(
            &[
                ("[%A|%C|%D|%E|%F|%P|%R|%S]", "[3|ct|cd|77|1|k:v :|rt|9]"),
                (
                    "[%5A|%5C|%5D|%5E|%5F|%5P|%5R|%5S]",
                    "[    3|   ct|cd|   77|    1|k:v :|   rt|    9]",
                ),
                ("[%05A|%-5C|%-5D|%05E|%-5R]", "[00003|ct   |cd|00077|rt   ]"),
                ("[%.1A|%.1C|%.1D|%.1P|%.1R]", "[3|c|cd|k:v :|r]"),
            ],
            &message(b"x", buffer.as_properties()),
        );
    }

    #[test]
    fn binary_numbers() {
        let four = 1.5f32.to_ne_bytes();
        check(
            &[
                ("%f", "1.500000"),
                ("%.1f", "1.5"),
                ("%.0f", "2"),
                ("[%10.2f]", "[      1.50]"),
                ("[%-10.2f]", "[1.50      ]"),
                ("[%010.2f]", "[0000001.50]"),
            ],
            &message(&four, Properties::EMPTY),
        );
        let negative = (-1.5f32).to_ne_bytes();
        check(
            &[("[%09.2f]", "[-00001.50]"), ("[%9.2f]", "[    -1.50]")],
            &message(&negative, Properties::EMPTY),
        );
        let eight = 1e300f64.to_ne_bytes();
        let text = formatted("%.0d", &message(&eight, Properties::EMPTY));
        assert!(
            text.len() == 301 && text.starts_with("10000000000000000"),
            "{text}"
        );
        let infinite = f64::NEG_INFINITY.to_ne_bytes();
        check(
            &[("%d", "-inf"), ("%06d", "  -inf")],
            &message(&infinite, Properties::EMPTY),
        );
        let nan = f32::NAN.to_ne_bytes();
        check(&[("%f", "nan")], &message(&nan, Properties::EMPTY));
    }

    #[test]
    fn what_is_no_binary_number_is_told() {
        for (format, text) in [
            (
                "x%fy",
                "Error: Message payload is not a 4 byte float on topic a/bc.",
            ),
            (
                "x%dy",
                "Error: Message payload is not a 8 byte double on topic a/bc.",
            ),
        ] {
            let format = Format::parse(format.as_bytes()).expect("legal");
            let output = Output {
                layout: Layout::Format(format),
                newline: true,
                pretty: false,
            };
            let (printed, complaints) = written(&output, &message(b"12345", Properties::EMPTY));
            assert_eq!(
                (printed.as_str(), complaints),
                ("xy\n", vec![text.to_string()])
            );
        }
    }

    #[test]
    fn seconds() {
        let message = message(b"x", Properties::EMPTY);
        check(
            &[
                ("%U", "1795338735.005000001"),
                ("%40U", "1795338735.005000001"),
                ("@N", "005000001"),
                ("@s", "1795338735"),
            ],
            &message,
        );
    }
}
