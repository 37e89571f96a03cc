#![no_main]

#[path = "../checks/file.rs"]
mod file;

libfuzzer_sys::fuzz_target!(|data: &[u8]| file::check(data));
