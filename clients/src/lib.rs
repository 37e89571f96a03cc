//! The command-line clients mosquitto_pub, mosquitto_sub and mosquitto_rr.
#![forbid(unsafe_code)]
