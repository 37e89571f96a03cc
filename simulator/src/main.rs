//! A router on your desk: installs a package, serves its pages, runs its init script.
#![forbid(unsafe_code)]

fn main() {}
