//! TLS against real peers: the programs of other libraries, over loopback sockets.
#![allow(clippy::unwrap_used)]

mod certificate;
mod checks;
mod clients;
mod link;
mod peer;
mod pki;
mod psk;
mod server;
mod small_peers;
