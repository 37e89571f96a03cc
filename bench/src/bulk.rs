//! Many messages of different topics through one connection, each step waiting for its answers.

use mqtt::{
    Packet, PacketIdentifier, PacketType, Properties, Publish, QoS, TopicName, Version, decode,
};

use crate::failure::Result;
use crate::machine;
use crate::payload::{Pattern, VERSION};
use crate::wire::{Wire, encoded};

/// Messages that are sent in one write.
const BATCH: usize = 50;

/// Publishes these messages at QoS 1, and waits for each acknowledgement.
pub(crate) fn publish<'a>(
    wire: &mut Wire,
    messages: impl IntoIterator<Item = (String, &'a [u8])>,
    retain: bool,
) -> Result<()> {
    let mut messages = messages.into_iter();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut sent: usize = 0;
        for (topic, payload) in messages.by_ref().take(BATCH) {
            sent += 1;
            let publish = Publish {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain,
                topic: Some(TopicName::new(&topic)?),
                packet_identifier: PacketIdentifier::new(sent as u16),
                properties: Properties::EMPTY,
                payload,
            };
            wire.out
                .extend_from_slice(&encoded(VERSION, Packet::Publish(publish))?);
        }
        if sent == 0 {
            return Ok(());
        }
        wire.flush()?;
        let mut acknowledged = 0;
        while acknowledged < sent {
            wire.read(&mut buffer, |input| {
                let Some((packet, used)) = decode(input, VERSION, u32::MAX)? else {
                    return Ok(0);
                };
                acknowledged += 1;
                match packet {
                    Packet::PubAck(ack)
                        if usize::from(ack.packet_identifier.get()) == acknowledged =>
                    {
                        Ok(used)
                    }
                    _ => Err("no acknowledgement, or one out of order".into()),
                }
            })?;
        }
    }
}

/// What has come when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Times of the clock.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Receives so many messages, each once and unchanged, with payloads of `len` bytes whose numbers tell them apart. `ordered`
/// where they must come in the order of their numbers. Those of QoS 1 are acknowledged.
pub(crate) fn receive(
    wire: &mut Wire,
    pattern: &Pattern,
    count: usize,
    len: usize,
    ordered: bool,
) -> Result<Received> {
    let mut buffer = vec![0; 64 * 1024];
    let mut seen = vec![false; count];
    let mut done = 0;
    let mut answers = Vec::new();
    let mut first = 0;
    while done < count {
        wire.read(&mut buffer, |input| {
            if input[0] >> 4 != PacketType::Publish as u8 {
                let Some((_, used)) = decode(input, VERSION, u32::MAX)? else {
                    return Ok(0);
                };
                return Ok(used);
            }
            let Some((Packet::Publish(publish), used)) = decode(input, Version::V311, u32::MAX)?
            else {
                return Ok(0);
            };
            if first == 0 {
                first = machine::now();
            }
            let stamp = pattern
                .read(publish.payload, len)
                .ok_or("a message was changed")?;
            let number = stamp.number as usize;
            match seen.get_mut(number) {
                None => return Err("a message that was never sent".into()),
                Some(true) => return Err(format!("message {number} came twice").into()),
                Some(_) if ordered && number != done => {
                    return Err(
                        format!("message {number} came in the place of message {done}").into(),
                    );
                }
                Some(seen) => *seen = true,
            }
            done += 1;
            if let Some(identifier) = publish.packet_identifier {
                let [high, low] = identifier.get().to_be_bytes();
                answers.extend_from_slice(&[0x40, 2, high, low]);
            }
            Ok(used)
        })?;
        wire.out.append(&mut answers);
        wire.flush()?;
    }
    Ok(Received {
        first,
        last: machine::now(),
    })
}

/// Publishes one message at QoS 0.
pub(crate) fn send(wire: &mut Wire, topic: &str, payload: &[u8]) -> Result<()> {
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: Some(TopicName::new(topic)?),
        packet_identifier: None,
        properties: Properties::EMPTY,
        payload,
    };
    wire.out
        .extend_from_slice(&encoded(VERSION, Packet::Publish(publish))?);
    wire.flush()?;
    Ok(())
}
