//! Properties of the whole codec: any packet, any version, any bytes.

mod hostile;
mod packets;
mod properties;
mod round_trip;
mod topics;
