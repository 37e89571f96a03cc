//! Plain, certificate or PSK behind one stream type, for broker and clients alike.
//!
//! No TLS library is named outside this crate. Certificates are served through rustls, which is memory-safe on bytes from
//! strangers; it has no pre-shared keys, so these, and everything the command-line clients do, go through OpenSSL. Both are
//! driven over memory ([`Stream`] moves the ciphertext), so a socket may be exchanged at any time and ciphertext goes out
//! with one call for up to 64 KiB.
//!
//! - [`Material`]: certificates and keys as the settings have them; [`Material::check`] says what is wrong with them.
//! - [`ServerTls`]: the broker's side, made of them; [`ServerTls::accept`] makes a [`Stream`] or says why not ([`Refused`]).
//! - [`ClientTls`]: the clients' side.
// Denied but for one call, in `psk.rs`.
#![deny(unsafe_code)]

mod certificate;
mod chain;
mod check;
mod client;
mod client_cert;
mod handshake;
mod memory;
mod name;
mod pem;
mod problem;
mod psk;
mod refusal;
mod server;
mod session;
mod signing;
mod stream;

pub use check::{Material, Remarks, Report};
pub use client::{ClientError, ClientOptions, ClientPsk, ClientTls, Version};
pub use problem::{Fault, Field, Problem};
pub use refusal::{CertificateRefusal, Refusal};
pub use server::{Refused, ServerTls};
pub use stream::Stream;

/// OpenSSL's name and version, as it is at run time.
pub fn openssl_version() -> &'static str {
    openssl::version::version()
}
