//! The broker's side of TLS.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext};
use openssl::x509::X509;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, HandshakeKind, PeerIncompatible, ServerConfig, SupportedCipherSuite};

use crate::certificate;
use crate::check::{self, Certified, Material};
use crate::client_cert::{self, Authorities, Verifier};
use crate::handshake::{self, Failure};
use crate::problem::{Fault, Field, Problem};
use crate::psk;
use crate::refusal::{CertificateRefusal, Refusal};
use crate::session::{Session, SessionError, clear_errors};
use crate::signing::OpensslKey;
use crate::stream::Stream;

/// How the connections of one listener are protected. Cheap to clone: connections share it, and a new one is simply put
/// in its place. Session tickets of the old one are worth nothing then.
#[derive(Clone)]
pub enum ServerTls {
    /// Not at all.
    None,
    /// The broker shows a certificate.
    Certificate(CertificateTls),
    /// Both sides know a key.
    Psk(PskTls),
}

/// See [`ServerTls::Certificate`].
#[derive(Clone)]
pub struct CertificateTls {
    config: Arc<ServerConfig>,
    /// The same without session tickets in TLS 1.3.
    ticketless: Arc<ServerConfig>,
    /// Whom clients' certificates must come from, if any are asked for.
    authorities: Option<Arc<Authorities>>,
}

/// See [`ServerTls::Psk`].
#[derive(Clone)]
pub struct PskTls {
    context: SslContext,
}

/// A client that was not let in.
#[derive(Debug)]
pub struct Refused<S> {
    /// Why.
    pub reason: Refusal,
    /// The connection. An alert may have been written to it; closing its writing side before it is dropped lets the peer
    /// read that.
    pub socket: S,
}

impl ServerTls {
    /// Makes the server's side of certificates and keys.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(material: &Material<'_>) -> Result<ServerTls, Vec<Problem>> {
        let refuse = |field: Field, text: String| vec![field.problem(Fault::Library(text))];
        match *material {
            Material::None => Ok(ServerTls::None),
            Material::Psk { identity, key } => {
                let problems = check::psk(identity, key);
                if !problems.is_empty() {
                    return Err(problems);
                }
                let context = psk::context(identity, key);
                clear_errors();
                let context = context.map_err(|error| refuse(Field::PskKey, error.to_string()))?;
                Ok(ServerTls::Psk(PskTls { context }))
            }
            Material::Certificate { ask_client, .. } => {
                let certified = Certified::load(material)?;
                let tls = CertificateTls::new(certified, ask_client);
                clear_errors();
                let tls = tls.map_err(|text| refuse(Field::Certificate, text))?;
                Ok(ServerTls::Certificate(tls))
            }
        }
    }

    /// Runs the handshake on a connection that has just come. It computes where it is polled: some milliseconds on a weak
    /// processor, so not on the thread that serves everyone else. It never ends by itself with a peer that is silent;
    /// dropping it closes the connection. `socket` is to send at once (TCP_NODELAY): the handshake's messages are small.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn accept<S>(&self, mut socket: S) -> Result<Stream<S>, Refused<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let begun = match self {
            ServerTls::None => return Ok(Stream::plain(socket)),
            ServerTls::Certificate(tls) => tls.begin(),
            ServerTls::Psk(tls) => tls.begin(),
        };
        let mut session = match begun {
            Ok(session) => session,
            Err(reason) => return Err(Refused { reason, socket }),
        };
        if let Err(failure) = handshake::run(&mut session, &mut socket, true).await {
            let reason = refusal(&session, failure);
            return Err(Refused { reason, socket });
        }
        match self.judge(&session) {
            Ok(common_name) => Ok(Stream::encrypted(socket, session, common_name)),
            Err(reason) => {
                session.close();
                let mut stream = Stream::encrypted(socket, session, None);
                // Whether the peer takes it or not: it says only that this is the end.
                let goodbye = |cx: &mut std::task::Context<'_>| {
                    let _ = std::pin::Pin::new(&mut stream).poll_flush(cx);
                    std::task::Poll::Ready(())
                };
                std::future::poll_fn(goodbye).await;
                let socket = stream.into_socket();
                Err(Refused { reason, socket })
            }
        }
    }

    /// The peer's name. A certificate that came with a session ticket was judged when the ticket was made; time has passed.
    fn judge(&self, session: &Session) -> Result<Option<String>, Refusal> {
        let (
            ServerTls::Certificate(CertificateTls {
                authorities: Some(authorities),
                ..
            }),
            Session::Rustls(rustls),
        ) = (self, session)
        else {
            return Ok(None);
        };
        let Some(certificates @ [leaf, ..]) = rustls.connection.peer_certificates() else {
            return Err(Refusal::NoCertificate);
        };
        if rustls.connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            authorities
                .judge(certificates)
                .map_err(Refusal::Certificate)?;
        }
        let leaf = X509::from_der(leaf);
        clear_errors();
        let leaf = leaf.map_err(|_| Refusal::Certificate(CertificateRefusal::Malformed))?;
        Ok(certificate::common_name(&leaf))
    }
}

impl CertificateTls {
    fn new(certified: Certified, ask_client: bool) -> Result<CertificateTls, String> {
        let text = |error: ErrorStack| error.to_string();
        let mut chain = Vec::new();
        for certificate in &certified.chain {
            chain.push(CertificateDer::from(certificate.to_der().map_err(text)?));
        }
        let key = OpensslKey::new(certified.key).ok_or("TLS has no use for this kind of key")?;
        // Not looked at by rustls, which would refuse X.509 v1.
        let certified_key = CertifiedKey::new(chain, Arc::new(key));
        let authorities = match ask_client {
            true => Some(Arc::new(
                Authorities::new(&certified.authorities).map_err(text)?,
            )),
            false => None,
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &authorities {
            Some(authorities) => {
                builder.with_client_cert_verifier(Arc::new(Verifier(authorities.clone())))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified_key)));
        config.ignore_client_order = true;
        // Sessions are resumed by tickets, of which nothing is kept here but the key that opens them, new each time. A client's
        // certificate is in its ticket, and judged again when that comes back.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        config.send_tls13_tickets = 1;
        let mut ticketless = config.clone();
        ticketless.send_tls13_tickets = 0;
        Ok(CertificateTls {
            config: Arc::new(config),
            ticketless: Arc::new(ticketless),
            authorities,
        })
    }

    fn begin(&self) -> Result<Session, Refusal> {
        Session::rustls(self.config.clone(), self.ticketless.clone())
            .map_err(|error| Refusal::Protocol(error.to_string()))
    }
}

impl PskTls {
    fn begin(&self) -> Result<Session, Refusal> {
        let begin = || {
            let mut ssl = Ssl::new(&self.context)?;
            ssl.set_accept_state();
            Session::openssl(ssl)
        };
        let begun: Result<Session, ErrorStack> = begin();
        begun.map_err(|error| Refusal::Protocol(error.to_string()))
    }
}

/// ring, with the suite first that costs the router least: 32-bit ARM has no instructions for AES.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let cost = |suite: &SupportedCipherSuite| match suite.suite() {
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            if cfg!(target_arch = "arm") { 0 } else { 2 }
        }
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => 1,
        _ => 3,
    };
    provider.cipher_suites.sort_by_key(cost);
    provider
}

fn refusal(session: &Session, failure: Failure) -> Refusal {
    match (failure, session) {
        (Failure::Closed, _) => Refusal::Closed,
        (Failure::NotTls(byte), _) => Refusal::NotTls(byte),
        (Failure::TooOld, _) => Refusal::VersionTooOld,
        (Failure::TooLong, _) => Refusal::Protocol("its first message is too long".into()),
        (Failure::Socket(error) | Failure::Session(SessionError::Io(error)), _) => lost(error),
        (Failure::Session(SessionError::Openssl(error)), Session::Openssl(stream)) => {
            psk::refusal(stream.ssl(), &error)
        }
        (Failure::Session(SessionError::Rustls(error)), _) => rustls_refusal(error),
        (Failure::Session(error), _) => Refusal::Protocol(error.to_string()),
    }
}

fn lost(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Refusal::Closed,
        _ => Refusal::Lost(error),
    }
}

fn rustls_refusal(error: rustls::Error) -> Refusal {
    use PeerIncompatible as Peer;
    match error {
        rustls::Error::NoCertificatesPresented => Refusal::NoCertificate,
        rustls::Error::InvalidCertificate(error) => {
            Refusal::Certificate(client_cert::from_error(&error))
        }
        rustls::Error::AlertReceived(alert) => Refusal::Alert(u8::from(alert)),
        rustls::Error::PeerIncompatible(
            Peer::ServerDoesNotSupportTls12Or13
            | Peer::SupportedVersionsExtensionRequired
            | Peer::Tls12NotOffered
            | Peer::Tls12NotOfferedOrEnabled,
        ) => Refusal::VersionTooOld,
        rustls::Error::PeerIncompatible(
            Peer::NoCipherSuitesInCommon
            | Peer::NoKxGroupsInCommon
            | Peer::NoSignatureSchemesInCommon
            | Peer::NoEcPointFormatsInCommon
            | Peer::NamedGroupsExtensionRequired
            | Peer::SignatureAlgorithmsExtensionRequired,
        ) => Refusal::NothingInCommon,
        error => Refusal::Protocol(error.to_string()),
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServerTls::None => "None",
            ServerTls::Certificate(_) => "Certificate(..)",
            ServerTls::Psk(_) => "Psk(..)",
        })
    }
}
