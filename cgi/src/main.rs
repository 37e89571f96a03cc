//! The web pages of the router app.
#![forbid(unsafe_code)]

fn main() {}
