//! The MQTT wire format: packets, properties, topic names and filters. No I/O, no clock.
#![forbid(unsafe_code)]
