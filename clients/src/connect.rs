//! The packet CONNECT, made of the options.

use std::num::NonZeroU16;
use std::time::Duration;

use mqtt::MAX_PACKET_SIZE;

use crate::client::Start;
use crate::exit::Failure;
use crate::options::Session;

/// What the Client starts with.
///
/// # Errors
/// This cannot be a packet.
pub(crate) fn start(session: &Session, traces: bool) -> Result<Start, Failure> {
    let packet = session.connect();
    let mut connect = Vec::new();
    packet
        .encode(&mut connect)
        .map_err(|error| Failure::Input(format!("Error: {error}.\n")))?;
    let properties = packet.properties;
    Ok(Start {
        version: session.version,
        connect,
        clean_start: session.clean_start,
        client_identifier: session.client_identifier.clone(),
        keep_alive: Duration::from_secs(session.keep_alive.into()),
        max_in_flight: NonZeroU16::new(session.max_inflight).unwrap_or(NonZeroU16::MIN),
        maximum_packet_size: properties.maximum_packet_size().unwrap_or(MAX_PACKET_SIZE),
        topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
        disconnect: session.disconnect_properties.clone(),
        traces,
    })
}
