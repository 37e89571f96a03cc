//! The command-line clients' side of TLS: OpenSSL, because their options are OpenSSL's own.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use futures_io::{AsyncRead, AsyncWrite};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    self, Ssl, SslContext, SslContextBuilder, SslMethod, SslVerifyMode, SslVersion,
};
use openssl::x509::X509VerifyResult;
use zeroize::Zeroizing;

use crate::check::{MAX_PSK_IDENTITY, MAX_PSK_KEY};
use crate::handshake::{self, Failure};
use crate::name;
use crate::psk;
use crate::session::{Session, SessionError, clear_errors, reason, reason_codes};
use crate::stream::Stream;

/// What a client is told by its options.
#[derive(Debug, Default)]
pub struct ClientOptions {
    /// PEM file of trusted CAs (`--cafile`).
    pub ca_file: Option<PathBuf>,
    /// Directory of trusted CAs by OpenSSL's hashes (`--capath`).
    pub ca_path: Option<PathBuf>,
    /// Trust the system's CAs too (`--tls-use-os-certs`).
    pub os_certificates: bool,
    /// PEM file of the client's certificate and chain (`--cert`).
    pub certificate: Option<PathBuf>,
    /// PEM file of its key (`--key`).
    pub private_key: Option<PathBuf>,
    /// Accept a certificate for another host (`--insecure`). It must still be of a trusted CA.
    pub insecure: bool,
    /// OpenSSL's list of suites up to TLS 1.2 (`--ciphers`).
    pub ciphers: Option<String>,
    /// This version alone (`--tls-version`).
    pub version: Option<Version>,
    /// Application protocol to ask for (`--tls-alpn`), 1 to 255 bytes.
    pub alpn: Option<String>,
    /// A pre-shared key instead of certificates.
    pub psk: Option<ClientPsk>,
}

/// A pre-shared key and its name.
pub struct ClientPsk {
    /// The name (`--psk-identity`), at most 256 bytes.
    pub identity: String,
    /// The key's bytes (`--psk` has them in hexadecimal), 1 to 512.
    pub key: Zeroizing<Vec<u8>>,
}

/// A protocol version that clients can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `tlsv1.2`
    Tls12,
    /// `tlsv1.3`
    Tls13,
}

impl Version {
    /// Reads the argument of `--tls-version`.
    pub fn from_name(name: &str) -> Option<Version> {
        match name {
            "tlsv1.2" => Some(Version::Tls12),
            "tlsv1.3" => Some(Version::Tls13),
            _ => None,
        }
    }
}

/// A client's side of TLS, for any number of connections.
#[derive(Clone)]
pub struct ClientTls {
    context: SslContext,
    checks_name: bool,
}

/// Why a client has no TLS. Its text is meant for stderr; OpenSSL's own lines are in [`ClientError::openssl`].
#[derive(Debug)]
pub enum ClientError {
    /// A file cannot be read.
    File(PathBuf, io::Error),
    /// No CA can be loaded from here.
    Authorities(PathBuf, ErrorStack),
    /// This is no certificate.
    Certificate(PathBuf, ErrorStack),
    /// This is no private key, or its password is wrong.
    PrivateKey(PathBuf, ErrorStack),
    /// Certificate and key do not belong together.
    KeyMismatch(ErrorStack),
    /// A certificate needs a key and a key a certificate.
    Half,
    /// None of these suites exists.
    Ciphers(ErrorStack),
    /// The application protocol's name is empty or too long.
    Alpn,
    /// The pre-shared key or its name is empty or too long.
    Psk,
    /// The server's certificate is not for this host.
    HostName,
    /// The server's certificate is not trusted; OpenSSL's words.
    Untrusted(String, ErrorStack),
    /// The handshake failed.
    Handshake(ErrorStack),
    /// The server closed the connection during the handshake.
    Closed,
    /// The connection failed.
    Lost(io::Error),
    /// OpenSSL refuses for reasons of its own.
    Library(ErrorStack),
}

impl ClientTls {
    /// Makes the client's side. `password` is asked for the password of an encrypted private key, with the key's file;
    /// what it returns is wiped.
    ///
    /// # Errors
    /// The first option that cannot be obeyed.
    pub fn new(
        options: &ClientOptions,
        password: &mut dyn FnMut(&Path) -> io::Result<Zeroizing<Vec<u8>>>,
    ) -> Result<ClientTls, ClientError> {
        clear_errors();
        let library = ClientError::Library;
        let mut builder = psk::builder(SslMethod::tls_client()).map_err(library)?;
        let (least, most) = match options.version {
            None => (SslVersion::TLS1_2, None),
            Some(Version::Tls12) => (SslVersion::TLS1_2, Some(SslVersion::TLS1_2)),
            Some(Version::Tls13) => (SslVersion::TLS1_3, None),
        };
        builder
            .set_min_proto_version(Some(least))
            .map_err(library)?;
        builder.set_max_proto_version(most).map_err(library)?;
        match &options.psk {
            Some(psk) => set_psk(&mut builder, psk)?,
            None => set_certificates(&mut builder, options, password)?,
        }
        if let Some(ciphers) = &options.ciphers {
            builder
                .set_cipher_list(ciphers)
                .map_err(ClientError::Ciphers)?;
        }
        if let Some(protocol) = &options.alpn {
            let length = u8::try_from(protocol.len()).map_err(|_| ClientError::Alpn)?;
            if length == 0 {
                return Err(ClientError::Alpn);
            }
            let list = [&[length], protocol.as_bytes()].concat();
            builder.set_alpn_protos(&list).map_err(library)?;
        }
        Ok(ClientTls {
            context: builder.build(),
            checks_name: !options.insecure && options.psk.is_none(),
        })
    }

    /// Runs the handshake with `host`, whose name the certificate must bear unless that is switched off.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect<S>(&self, host: &str, mut socket: S) -> Result<Stream<S>, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        clear_errors();
        let mut session = self.begin(host).map_err(ClientError::Library)?;
        match handshake::run(&mut session, &mut socket, false).await {
            Ok(()) => Ok(Stream::encrypted(socket, session, None)),
            Err(failure) => Err(error(&session, failure)),
        }
    }

    fn begin(&self, host: &str) -> Result<Session, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_connect_state();
        // RFC 6066 3: names alone, no addresses.
        let name = host.strip_suffix('.').unwrap_or(host);
        if !name.is_empty() && !name.contains('\0') && host.parse::<IpAddr>().is_err() {
            ssl.set_hostname(name)?;
        }
        if self.checks_name {
            let host = host.to_string();
            ssl.set_verify_callback(SslVerifyMode::PEER, move |is_trusted, context| {
                if !is_trusted || context.error_depth() != 0 {
                    return is_trusted;
                }
                let certificate = context.current_cert();
                let is_for =
                    certificate.is_some_and(|certificate| name::is_for(certificate, &host));
                if !is_for {
                    context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
                }
                is_for
            });
        }
        Session::openssl(ssl)
    }
}

fn set_psk(builder: &mut SslContextBuilder, psk: &ClientPsk) -> Result<(), ClientError> {
    let fits = |length: usize, most: usize| (1..=most).contains(&length);
    if !fits(psk.identity.len(), MAX_PSK_IDENTITY)
        || !fits(psk.key.len(), MAX_PSK_KEY)
        || psk.identity.contains('\0')
    {
        return Err(ClientError::Psk);
    }
    let lists = builder
        .set_cipher_list(psk::CIPHERS)
        .and_then(|()| builder.set_ciphersuites(psk::CIPHERSUITES));
    lists.map_err(ClientError::Library)?;
    // Without a certificate from the server there is nothing else that proves who it is, and none is taken.
    builder.set_verify(SslVerifyMode::PEER);
    let (identity, key) = (psk.identity.clone().into_bytes(), psk.key.clone());
    builder.set_psk_client_callback(move |_, _, identity_space, key_space| {
        // A C string: one byte more for its NUL.
        let (Some(name), Some(space)) = (
            identity_space.get_mut(..=identity.len()),
            key_space.get_mut(..key.len()),
        ) else {
            return Ok(0);
        };
        name[..identity.len()].copy_from_slice(&identity);
        name[identity.len()] = 0;
        space.copy_from_slice(&key);
        Ok(key.len())
    });
    Ok(())
}

fn set_certificates(
    builder: &mut SslContextBuilder,
    options: &ClientOptions,
    password: &mut dyn FnMut(&Path) -> io::Result<Zeroizing<Vec<u8>>>,
) -> Result<(), ClientError> {
    builder.set_verify(SslVerifyMode::PEER);
    if let Some(file) = &options.ca_file {
        readable(file)?;
        let loaded = builder.load_verify_locations(Some(file), None);
        loaded.map_err(|error| ClientError::Authorities(file.clone(), error))?;
    }
    if let Some(path) = &options.ca_path {
        readable(path)?;
        let loaded = builder.load_verify_locations(None, Some(path));
        loaded.map_err(|error| ClientError::Authorities(path.clone(), error))?;
    }
    if options.os_certificates {
        let loaded = builder.set_default_verify_paths();
        loaded.map_err(ClientError::Library)?;
    }
    let (certificate, private_key) = match (&options.certificate, &options.private_key) {
        (Some(certificate), Some(private_key)) => (certificate, private_key),
        (None, None) => return Ok(()),
        _ => return Err(ClientError::Half),
    };
    readable(certificate)?;
    let loaded = builder.set_certificate_chain_file(certificate);
    loaded.map_err(|error| ClientError::Certificate(certificate.clone(), error))?;
    let pem = std::fs::read(private_key).map(Zeroizing::new);
    let pem = pem.map_err(|error| ClientError::File(private_key.clone(), error))?;
    let mut not_given = None;
    let key = PKey::private_key_from_pem_callback(&pem, |space| match password(private_key) {
        Ok(given) => {
            let length = given.len().min(space.len());
            space[..length].copy_from_slice(&given[..length]);
            Ok(length)
        }
        Err(error) => {
            not_given = Some(error);
            Ok(0)
        }
    });
    if let Some(error) = not_given {
        clear_errors();
        return Err(ClientError::File(private_key.clone(), error));
    }
    let key = key.map_err(|error| ClientError::PrivateKey(private_key.clone(), error))?;
    let set = builder.set_private_key(&key);
    set.and_then(|()| builder.check_private_key())
        .map_err(ClientError::KeyMismatch)
}

/// The library could say less about a file that is not there, and panics where its name is no text.
fn readable(path: &Path) -> Result<(), ClientError> {
    let is_text = path.to_str().is_some_and(|text| !text.contains('\0'));
    let opened = match is_text {
        true => std::fs::File::open(path).map(drop),
        false => Err(io::ErrorKind::InvalidInput.into()),
    };
    opened.map_err(|error| ClientError::File(path.to_path_buf(), error))
}

fn error(session: &Session, failure: Failure) -> ClientError {
    match (failure, session) {
        (Failure::Session(SessionError::Openssl(error)), Session::Openssl(stream)) => {
            openssl_error(stream.ssl().verify_result(), &error)
        }
        (Failure::Socket(error) | Failure::Session(SessionError::Io(error)), _) => {
            ClientError::Lost(error)
        }
        _ => ClientError::Closed,
    }
}

fn openssl_error(verdict: X509VerifyResult, error: &ssl::Error) -> ClientError {
    let mut codes = reason_codes(error);
    let stack = error.ssl_error().cloned();
    match stack {
        Some(_) if codes.any(|code| code == reason::UNEXPECTED_EOF) => ClientError::Closed,
        Some(_) if verdict == X509VerifyResult::APPLICATION_VERIFICATION => ClientError::HostName,
        Some(stack)
            if reason_codes(error).any(|code| code == reason::CERTIFICATE_VERIFY_FAILED) =>
        {
            ClientError::Untrusted(verdict.error_string().to_string(), stack)
        }
        Some(stack) => ClientError::Handshake(stack),
        None => ClientError::Closed,
    }
}

impl ClientError {
    /// OpenSSL's own lines, such as `error:0A000086:SSL routines::certificate verify failed`, outermost last.
    pub fn openssl(&self) -> Vec<String> {
        match self {
            ClientError::Authorities(_, stack)
            | ClientError::Certificate(_, stack)
            | ClientError::PrivateKey(_, stack)
            | ClientError::KeyMismatch(stack)
            | ClientError::Ciphers(stack)
            | ClientError::Untrusted(_, stack)
            | ClientError::Handshake(stack)
            | ClientError::Library(stack) => stack.errors().iter().map(line).collect(),
            _ => Vec::new(),
        }
    }
}

/// As OpenSSL's `ERR_error_string` writes it.
fn line(error: &openssl::error::Error) -> String {
    format!(
        "error:{:08X}:{}::{}",
        error.code(),
        error.library().unwrap_or("lib(0)"),
        error.reason().unwrap_or("reason(0)")
    )
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::File(path, error) => {
                write!(f, "Unable to read \"{}\": {error}", path.display())
            }
            ClientError::Authorities(path, _) => write!(
                f,
                "Unable to load CA certificates, check \"{}\"",
                path.display()
            ),
            ClientError::Certificate(path, _) => write!(
                f,
                "Unable to load client certificate, check certfile \"{}\"",
                path.display()
            ),
            ClientError::PrivateKey(path, _) => write!(
                f,
                "Unable to load client key file, check keyfile \"{}\"",
                path.display()
            ),
            ClientError::KeyMismatch(_) => f.write_str("Client certificate/key are inconsistent"),
            ClientError::Half => {
                f.write_str("Both certfile and keyfile must be provided if one of them is set")
            }
            ClientError::Ciphers(_) => f.write_str("Unable to set TLS ciphers, check cipher list"),
            ClientError::Alpn => f.write_str("The ALPN protocol must have 1 to 255 bytes"),
            ClientError::Psk => write!(
                f,
                "The PSK identity must have 1 to {MAX_PSK_IDENTITY} bytes and the key 1 to {MAX_PSK_KEY}"
            ),
            ClientError::HostName => f.write_str("host name verification failed"),
            ClientError::Untrusted(text, _) => write!(f, "certificate verify failed: {text}"),
            ClientError::Handshake(stack) => match stack.errors().last() {
                Some(error) => f.write_str(error.reason().unwrap_or("TLS handshake failed")),
                None => f.write_str("TLS handshake failed"),
            },
            ClientError::Closed => {
                f.write_str("The server closed the connection during the TLS handshake")
            }
            ClientError::Lost(error) => error.fmt(f),
            ClientError::Library(stack) => write!(f, "Unable to create TLS context: {stack}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl fmt::Debug for ClientPsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientPsk { .. }")
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls { .. }")
    }
}
