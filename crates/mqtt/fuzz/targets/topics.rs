#![no_main]

#[path = "../checks/topics.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod topics;

libfuzzer_sys::fuzz_target!(|data: &[u8]| topics::check(data));
