//! Prints the fields of a format.

use std::io::{self, Write};
use std::time::SystemTime;

use mqtt::Publish;

use crate::format::json;
use crate::format::language::{Field, Format, Piece, Shape};
use crate::format::time;

/// Prints one message.
pub(super) struct Printer<'a> {
    pub(super) message: &'a Publish<'a>,
    pub(super) topic: &'a str,
    pub(super) now: SystemTime,
    pub(super) pretty: bool,
    pub(super) out: &'a mut dyn Write,
    /// What could not be printed.
    pub(super) complaints: Vec<String>,
}

impl Printer<'_> {
    pub(super) fn print(&mut self, format: &Format) -> io::Result<()> {
        for piece in &format.pieces {
            match piece {
                Piece::Text(text) => self.out.write_all(text)?,
                Piece::Field(field, shape) => self.field(*field, *shape)?,
                Piece::Time(letter) => self.out.write_all(&time::conversion(*letter, self.now))?,
            }
        }
        Ok(())
    }

    fn field(&mut self, field: Field, shape: Shape) -> io::Result<()> {
        let (message, properties) = (self.message, self.message.properties);
        match field {
            Field::Topic => self.text(Some(self.topic), shape),
            Field::ContentType => self.text(properties.content_type(), shape),
            // Absent, it is nothing whatever the width.
            Field::ResponseTopic => match properties.response_topic() {
                Some(topic) => self.text(Some(topic), shape),
                None => Ok(()),
            },
            Field::DateAndTime => {
                let text = time::date_and_time(self.now);
                self.text(Some(&text), shape)
            }
            Field::Seconds => self.out.write_all(time::seconds(self.now).as_bytes()),
            Field::Length => self.number(Some(message.payload.len() as u64), shape),
            Field::PacketIdentifier => {
                let identifier = message.packet_identifier.map_or(0, std::num::NonZero::get);
                self.number(Some(identifier.into()), shape)
            }
            Field::QoS => write!(self.out, "{}", message.qos as u8),
            Field::Retain => write!(self.out, "{}", u8::from(message.retain)),
            Field::TopicAlias => self.number(properties.topic_alias().map(u64::from), shape),
            Field::MessageExpiryInterval => {
                self.number(properties.message_expiry_interval().map(u64::from), shape)
            }
            Field::PayloadFormatIndicator => {
                self.number(properties.payload_format_indicator().map(u64::from), shape)
            }
            Field::SubscriptionIdentifier => {
                let first = properties.subscription_identifiers().next();
                self.number(first.map(u64::from), shape)
            }
            Field::CorrelationData => {
                let data = properties.correlation_data().unwrap_or_default();
                self.out.write_all(data)
            }
            Field::UserProperties => {
                for (index, (name, value)) in properties.user_properties().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    write!(self.out, "{space}{name}:{value}")?;
                }
                Ok(())
            }
            Field::Payload => self.payload(shape),
            Field::LowerHex => self.hex(b"0123456789abcdef", shape),
            Field::UpperHex => self.hex(b"0123456789ABCDEF", shape),
            Field::Float => match message.payload.try_into() {
                Ok(bytes) => self.float(f32::from_ne_bytes(bytes).into(), shape),
                Err(_) => self.complain("not a 4 byte float"),
            },
            Field::Double => match message.payload.try_into() {
                Ok(bytes) => self.float(f64::from_ne_bytes(bytes), shape),
                Err(_) => self.complain("not a 8 byte double"),
            },
            Field::Json => json::write(message, self.topic, self.now, None, self.pretty, self.out),
            Field::JsonPayload => match json::Payload::parse(message.payload) {
                Some(payload) => {
                    let payload = Some(payload);
                    json::write(
                        message,
                        self.topic,
                        self.now,
                        payload,
                        self.pretty,
                        self.out,
                    )
                }
                None => self.complain("not valid JSON"),
            },
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it takes the place of what is not printed"
    )]
    fn complain(&mut self, what: &str) -> io::Result<()> {
        let topic = self.topic;
        self.complaints.push(format!(
            "Error: Message payload is {what} on topic {topic}."
        ));
        Ok(())
    }

    /// `count` characters of padding.
    fn pad(&mut self, character: u8, mut count: usize) -> io::Result<()> {
        let padding = [character; 64];
        while count > 0 {
            let part = count.min(padding.len());
            self.out.write_all(&padding[..part])?;
            count -= part;
        }
        Ok(())
    }

    /// What `write` prints, `length` characters, padded to the width.
    fn padded(
        &mut self,
        length: usize,
        zeros: bool,
        shape: Shape,
        write: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let missing = shape.width.saturating_sub(length);
        if shape.left {
            write(self)?;
            return self.pad(b' ', missing);
        }
        self.pad(if zeros { b'0' } else { b' ' }, missing)?;
        write(self)
    }

    /// As C's `%s` does: the precision cuts bytes.
    fn text(&mut self, text: Option<&str>, shape: Shape) -> io::Result<()> {
        let Some(text) = text else {
            return self.absent(shape);
        };
        let length = shape.precision.unwrap_or(text.len()).min(text.len());
        self.padded(length, false, shape, |printer| {
            printer.out.write_all(&text.as_bytes()[..length])
        })
    }

    fn number(&mut self, number: Option<u64>, shape: Shape) -> io::Result<()> {
        let Some(number) = number else {
            return self.absent(shape);
        };
        let text = number.to_string();
        self.padded(text.len(), shape.zeros, shape, |printer| {
            printer.out.write_all(text.as_bytes())
        })
    }

    fn absent(&mut self, shape: Shape) -> io::Result<()> {
        let zeros = shape.zeros && !shape.left;
        self.pad(if zeros { b'0' } else { b' ' }, shape.width)
    }

    /// The width also cuts.
    fn payload(&mut self, shape: Shape) -> io::Result<()> {
        let payload = cut(self.message.payload, shape.width);
        self.padded(payload.len(), shape.zeros, shape, |printer| {
            printer.out.write_all(payload)
        })
    }

    /// The width cuts bytes and pads digits, as in 2.0.18.
    fn hex(&mut self, digits: &[u8; 16], shape: Shape) -> io::Result<()> {
        let payload = cut(self.message.payload, shape.width);
        let count = payload.len() * 2;
        let (group, separator) = match (shape.precision, shape.separator) {
            (Some(group), Some(separator)) if group > 0 => (group, separator),
            _ => (usize::MAX, b' '),
        };
        let length = count + count.saturating_sub(1) / group;
        self.padded(length, shape.zeros, shape, |printer| {
            let mut buffer = Vec::with_capacity(length.min(HEX_BUFFER));
            let mut until_separator = group;
            for nibble in payload.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
                if until_separator == 0 {
                    buffer.push(separator);
                    until_separator = group;
                }
                buffer.push(digits[usize::from(nibble)]);
                until_separator -= 1;
                if buffer.len() + 2 > HEX_BUFFER {
                    printer.out.write_all(&buffer)?;
                    buffer.clear();
                }
            }
            printer.out.write_all(&buffer)
        })
    }

    /// As C's `%f`: six places unless stated otherwise.
    fn float(&mut self, number: f64, shape: Shape) -> io::Result<()> {
        let places = shape.precision.unwrap_or(6);
        let text = match number {
            number if number.is_nan() => "nan".to_string(),
            number if number.is_infinite() && number > 0.0 => "inf".to_string(),
            number if number.is_infinite() => "-inf".to_string(),
            number => format!("{number:.places$}"),
        };
        let zeros = shape.zeros && number.is_finite();
        // Zeros stand behind the sign.
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) if zeros && !shape.left => ("-", digits),
            _ => ("", text.as_str()),
        };
        self.out.write_all(sign.as_bytes())?;
        let shape = Shape {
            width: shape.width.saturating_sub(sign.len()),
            ..shape
        };
        self.padded(digits.len(), zeros, shape, |printer| {
            printer.out.write_all(digits.as_bytes())
        })
    }
}

/// Digits are written in parts of this size.
const HEX_BUFFER: usize = 4096;

fn cut(payload: &[u8], width: usize) -> &[u8] {
    match width {
        0 => payload,
        width => &payload[..width.min(payload.len())],
    }
}
