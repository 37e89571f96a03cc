//! What `-d` prints: one line for every packet, in the form that Mosquitto's tools have.

use std::fmt::{self, Write as _};
use std::mem;

use mqtt::{PacketIdentifier, Publish, SubscriptionOptions, TopicName, Version};

/// Lines that wait to be printed.
#[derive(Debug)]
pub(super) struct Trace {
    is_on: bool,
    client_identifier: String,
    lines: String,
}

impl Trace {
    /// `client_identifier` is empty where the Server is to choose one.
    pub(super) fn new(is_on: bool, client_identifier: &str) -> Trace {
        Trace {
            is_on,
            client_identifier: match client_identifier {
                "" => "null".to_string(),
                known => known.to_string(),
            },
            lines: String::new(),
        }
    }

    /// The Server has chosen a Client Identifier.
    pub(super) fn name(&mut self, client_identifier: &str) {
        self.client_identifier = client_identifier.to_string();
    }

    pub(super) fn take(&mut self) -> String {
        mem::take(&mut self.lines)
    }

    /// A line about this Client.
    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        if self.is_on {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(self.lines, "Client {} {what}", self.client_identifier);
        }
    }

    /// A line about something else.
    pub(super) fn remark(&mut self, what: fmt::Arguments<'_>) {
        if self.is_on {
            let _ = writeln!(self.lines, "{what}");
        }
    }

    pub(super) fn name_of_client(&self) -> String {
        self.client_identifier.clone()
    }

    pub(super) fn publish(
        &mut self,
        what: &str,
        packet: &Publish<'_>,
        identifier: u16,
        payload: usize,
    ) {
        let topic = packet.topic.map_or("null", TopicName::as_str);
        self.note(format_args!(
            "{what} PUBLISH (d{}, q{}, r{}, m{identifier}, '{topic}', ... ({payload} bytes))",
            u8::from(packet.dup),
            packet.qos as u8,
            u8::from(packet.retain),
        ));
    }

    pub(super) fn subscribe(
        &mut self,
        identifier: PacketIdentifier,
        filter: &str,
        options: SubscriptionOptions,
        version: Version,
    ) {
        // As MQTT 5.0 section 3.8.3.1 has them, without the QoS.
        let bits = match version {
            Version::V5 => {
                (options.retain_handling as u8) << 4
                    | u8::from(options.retain_as_published) << 3
                    | u8::from(options.no_local) << 2
            }
            Version::V31 | Version::V311 => 0,
        };
        self.note(format_args!(
            "sending SUBSCRIBE (Mid: {identifier}, Topic: {filter}, QoS: {}, Options: 0x{bits:02x})",
            options.qos as u8,
        ));
    }
}
