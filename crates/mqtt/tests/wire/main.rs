//! Properties of the whole codec: any packet, any version, any bytes.

mod corpus;
mod hostile;
mod packets;
mod properties;
mod round_trip;
mod topics;

// What the fuzz targets check.
#[path = "../../fuzz/checks/packet.rs"]
mod packet_check;
#[path = "../../fuzz/checks/stream.rs"]
mod stream_check;
#[path = "../../fuzz/checks/topics.rs"]
mod topics_check;

#[path = "../../../replay.rs"]
mod replay;
