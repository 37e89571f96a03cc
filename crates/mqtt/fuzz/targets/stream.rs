#![no_main]

#[path = "../checks/stream.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| stream::check(data));
