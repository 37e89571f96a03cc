//! The real program behind its links, in a scratch router.
#![forbid(unsafe_code)]

mod apply;
mod pages;
mod router;
#[path = "../../src/scratch.rs"]
mod scratch;
