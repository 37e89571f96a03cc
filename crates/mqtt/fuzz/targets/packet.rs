#![no_main]

#[path = "../checks/packet.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod packet;

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet::check(data));
