//! Application Messages that can be told apart: each has a number of its own at the start of its payload.

use std::sync::OnceLock;

use mqtt::{PropertiesBuffer, Property, QoS};

use super::random::Random;

/// Few topics, so that they meet.
pub(super) const TOPICS: [&str; 9] = ["a", "a/b", "a/b/c", "a/d", "b", "b/b", "/a", "a/", "$own/a"];

/// Filters that match them in many ways.
pub(super) const FILTERS: [&str; 16] = [
    "#",
    "+",
    "a",
    "a/b",
    "a/#",
    "a/+",
    "+/b",
    "a/+/c",
    "b",
    "b/#",
    "/+",
    "$own/#",
    "$share/g/#",
    "$share/g/a/b",
    "$share/h/a/+",
    "$share/h/b",
];

/// What a client publishes.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) number: u32,
    pub(super) topic: &'static str,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Bytes of its payload.
    pub(super) len: usize,
    /// Message Expiry Interval in seconds.
    pub(super) expiry: Option<u32>,
    /// Whether it has all properties that are passed on.
    pub(super) is_described: bool,
}

impl Message {
    pub(super) fn random(random: &mut Random, number: u32, large: usize) -> Self {
        let retain = random.one_in(4);
        let len = match random.below(100) {
            // An empty one removes what is retained.
            _ if retain && random.one_in(4) => 0,
            0..70 => random.between(NUMBER, 40),
            70..90 => random.between(40, 400),
            90..97 => random.between(400, 3000),
            _ => random.between(large / 2, large),
        };
        Message {
            number,
            topic: random.pick(&TOPICS),
            qos: random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]),
            retain,
            len,
            expiry: random.one_in(5).then(|| random.pick(&[0, 1, 2, 10, 60])),
            is_described: random.one_in(5),
        }
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        if self.len == 0 {
            return Vec::new();
        }
        let mut payload = format!("{:08x}", self.number).into_bytes();
        let from = self.number as usize % 97;
        payload.extend_from_slice(&filler()[from..][..self.len - NUMBER]);
        payload
    }

    /// The properties that every receiver of version 5.0 gets.
    pub(super) fn properties(&self, buffer: &mut PropertiesBuffer) {
        if self.is_described {
            let number = self.number.to_string();
            for property in [
                Property::PayloadFormatIndicator(1),
                Property::UserProperty("number", &number),
                Property::ContentType("text/plain"),
                Property::ResponseTopic("a/b"),
                Property::UserProperty("number", "again"),
                Property::CorrelationData(&[0, 255]),
            ] {
                buffer.push(property).unwrap();
            }
        }
        if let Some(seconds) = self.expiry {
            let property = Property::MessageExpiryInterval(seconds);
            buffer.push(property).unwrap();
        }
    }
}

/// Bytes of the number in a payload.
const NUMBER: usize = 8;

/// The number in a payload; an empty one has none.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(payload.get(..NUMBER)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// What follows the number.
fn filler() -> &'static [u8] {
    static FILLER: OnceLock<Vec<u8>> = OnceLock::new();
    FILLER.get_or_init(|| {
        (0..80_000_u32)
            .map(|at| b'!' + (at * 7 % 93) as u8)
            .collect()
    })
}
