#![no_main]

#[path = "../checks/file.rs"]
#[allow(dead_code, reason = "the other target checks it")]
mod file;
#[path = "../checks/form.rs"]
mod form;

libfuzzer_sys::fuzz_target!(|data: &[u8]| form::check(data));
