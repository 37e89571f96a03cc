//! The server's side of pre-shared keys (RFC 4279, RFC 5489, RFC 8446 2.2), which rustls does not have.

use std::ptr;
use std::sync::LazyLock;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::memcmp;
use openssl::ssl::{
    self, ClientHelloResponse, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslRef, SslSessionCacheMode, SslVersion,
};
use zeroize::Zeroizing;

use crate::refusal::{Refusal, shown};
use crate::session::{self, reason, reason_codes};

/// AEAD and forward secrecy come first, then what small devices have. No Diffie-Hellman over integers: its 3072 bits, which
/// Mosquitto takes with its own clients, cost twenty times what elliptic curves do. No SHA-1. Level 0 lets in AES-CCM-8,
/// the suite that RFC 7925 demands of small devices, and nothing else that is in this list.
pub(crate) const CIPHERS: &str = "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:\
    PSK-AES256-GCM-SHA384:PSK-CHACHA20-POLY1305:PSK-AES128-CCM:PSK-AES128-CCM8:PSK-AES128-CBC-SHA256:\
    PSK-AES256-CBC-SHA384:ECDHE-PSK-AES256-CBC-SHA384:@SECLEVEL=0";
/// AES first: wolfSSL takes none but the suite that its key is bound to.
pub(crate) const CIPHERSUITES: &str = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
/// P-256 first: OpenSSL takes the first for a client that names none, and wolfSSL can do only this one then.
const GROUPS: &str = "P-256:X25519:P-384";
/// SSL_OP_ALLOW_NO_DHE_KEX, which the crate does not name: GnuTLS can be set up to offer only psk_ke in TLS 1.3.
const ALLOW_NO_DHE_KEX: SslOptions = SslOptions::from_bits_retain(1 << 10);
/// pre_shared_key (RFC 8446 4.2).
const PRE_SHARED_KEY: u32 = 41;

/// What came of a client's offer.
#[derive(Default)]
struct Offer {
    /// The name it gave, if it is another than the one in the settings.
    unknown: Option<Vec<u8>>,
    /// It gave the right name.
    known: bool,
    /// It may not have TLS 1.3 since it offers no key for it.
    capped: bool,
    /// It offers TLS 1.2, or 1.3, whose ClientHello says 1.2.
    is_new: bool,
}

static OFFER: LazyLock<Result<Index<Ssl, Offer>, ErrorStack>> = LazyLock::new(Ssl::new_ex_index);

/// The context of all connections with this name and key.
pub(crate) fn context(identity: &[u8], key: &[u8]) -> Result<SslContext, ErrorStack> {
    let offer = OFFER.clone()?;
    let mut builder = builder(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_options(
        SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::PRIORITIZE_CHACHA
            | SslOptions::NO_TICKET
            | ALLOW_NO_DHE_KEX,
    );
    builder.set_cipher_list(CIPHERS)?;
    builder.set_ciphersuites(CIPHERSUITES)?;
    builder.set_groups_list(GROUPS)?;
    // The handshake is cheap, and tickets would cost memory in every client.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0)?;

    let identity = identity.to_vec();
    let key = Zeroizing::new(key.to_vec());
    // For a name that is not known: its holder must find out no more than one with a wrong key does.
    let mut stand_in = Zeroizing::new(vec![0; 32]);
    openssl::rand::rand_bytes(&mut stand_in)?;
    builder.set_psk_server_callback(move |ssl, given, space| {
        let given = given.unwrap_or_default();
        let is_known = given.len() == identity.len() && memcmp::eq(given, &identity);
        note(ssl, offer, |seen| {
            seen.known = is_known;
            seen.unknown = (!is_known).then(|| given.to_vec());
        });
        let key = if is_known { &key } else { &stand_in };
        match space.get_mut(..key.len()) {
            Some(space) => space.copy_from_slice(key),
            None => return Ok(0),
        }
        Ok(key.len())
    });
    builder.set_client_hello_callback(move |ssl, _| {
        let version = ssl.client_hello_legacy_version();
        note(ssl, offer, |seen| {
            seen.is_new = version == Some(SslVersion::TLS1_2);
        });
        // Some clients have TLS 1.3, but pre-shared keys in 1.2 only.
        if !offers_key_for_tls13(ssl) {
            note(ssl, offer, |seen| seen.capped = true);
            ssl.set_max_proto_version(Some(SslVersion::TLS1_2))?;
        }
        Ok(ClientHelloResponse::SUCCESS)
    });
    Ok(builder.build())
}

/// What all contexts of OpenSSL have in common, the clients' included.
pub(crate) fn builder(method: SslMethod) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContextBuilder::new(method)?;
    builder.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION);
    builder.set_mode(SslMode::RELEASE_BUFFERS | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
    Ok(builder)
}

fn note(ssl: &mut SslRef, index: Index<Ssl, Offer>, change: impl FnOnce(&mut Offer)) {
    if ssl.ex_data(index).is_none() {
        ssl.set_ex_data(index, Offer::default());
    }
    if let Some(offer) = ssl.ex_data_mut(index) {
        change(offer);
    }
}

/// Whether the ClientHello that is being answered has the extension.
#[allow(unsafe_code)]
fn offers_key_for_tls13(ssl: &SslRef) -> bool {
    let mut start = ptr::null();
    let mut length = 0;
    // SAFETY: `ssl` is a live SSL that OpenSSL itself has lent to the ClientHello callback, the only place this is called
    // from and the only one where the function is allowed. It writes to the two variables, which outlive the call; what
    // they then point to is not looked at.
    let found = unsafe {
        openssl_sys::SSL_client_hello_get0_ext(
            ssl.as_ptr(),
            PRE_SHARED_KEY,
            &raw mut start,
            &raw mut length,
        )
    };
    found == 1
}

/// Why the handshake failed, `ssl` being its connection.
pub(crate) fn refusal(ssl: &SslRef, error: &ssl::Error) -> Refusal {
    let seen = OFFER.as_ref().ok().and_then(|&index| ssl.ex_data(index));
    for code in reason_codes(error) {
        let alert = u8::try_from(code - reason::ALERT).ok();
        match (code, seen, alert) {
            (_, _, Some(alert)) => return Refusal::Alert(alert),
            (
                reason::BINDER_DOES_NOT_VERIFY
                | reason::DECRYPTION_FAILED_OR_BAD_RECORD_MAC
                | reason::DIGEST_CHECK_FAILED,
                Some(seen),
                _,
            ) if seen.known || seen.unknown.is_some() => {
                return match &seen.unknown {
                    Some(identity) => Refusal::UnknownIdentity(shown(identity)),
                    None => Refusal::WrongKey,
                };
            }
            (reason::NO_SHARED_CIPHER, _, _) => return Refusal::NoPsk,
            (reason::UNSUPPORTED_PROTOCOL, Some(seen), _) if seen.capped && seen.is_new => {
                return Refusal::NoPsk;
            }
            (reason::UNSUPPORTED_PROTOCOL | reason::VERSION_TOO_LOW, _, _) => {
                return Refusal::VersionTooOld;
            }
            _ => {}
        }
    }
    session::clear_errors();
    Refusal::Protocol(words(error))
}

/// OpenSSL's reason alone: its full text names the line of its source.
fn words(error: &ssl::Error) -> String {
    let errors = error.ssl_error().map_or(&[][..], ErrorStack::errors);
    let reason = errors.iter().rev().find_map(openssl::error::Error::reason);
    reason.map_or_else(|| error.to_string(), str::to_owned)
}
