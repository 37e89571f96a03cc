//! The state of one TLS connection over memory: no socket, no clock of its own, nothing that waits.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, Ssl, SslStream};
use rustls::{ServerConfig, ServerConnection};

use crate::handshake::has_session_id;
use crate::memory::Memory;

/// Either library's connection.
pub(crate) enum Session {
    Rustls(Box<Rustls>),
    Openssl(SslStream<Memory>),
}

/// rustls' connection and its memory.
pub(crate) struct Rustls {
    pub(crate) connection: ServerConnection,
    memory: Memory,
    /// What came was wrong; plaintext before it is read first.
    failed: Option<rustls::Error>,
    /// For a client that must not get a session ticket. None once it is known whether this is one.
    ticketless: Option<Arc<ServerConfig>>,
}

/// OpenSSL reads a record's header, then the rest of it.
const READS_A_RECORD: u32 = 2;

/// Why a handshake ended.
#[derive(Debug)]
pub(crate) enum SessionError {
    Rustls(rustls::Error),
    Openssl(ssl::Error),
    Io(io::Error),
}

impl Session {
    /// A connection of a rustls server: `config`, or `ticketless` if the client shows no session identifier
    /// ([`has_session_id`]).
    pub(crate) fn rustls(
        config: Arc<ServerConfig>,
        ticketless: Arc<ServerConfig>,
    ) -> Result<Session, rustls::Error> {
        Ok(Session::Rustls(Box::new(Rustls {
            connection: connection(config)?,
            memory: Memory::default(),
            failed: None,
            ticketless: Some(ticketless),
        })))
    }

    /// A connection of OpenSSL, `ssl` being told which side it is.
    pub(crate) fn openssl(ssl: Ssl) -> Result<Session, ErrorStack> {
        Ok(Session::Openssl(SslStream::new(ssl, Memory::default())?))
    }

    pub(crate) fn memory(&mut self) -> &mut Memory {
        match self {
            Session::Rustls(one) => &mut one.memory,
            Session::Openssl(stream) => stream.get_mut(),
        }
    }

    /// Whether there is ciphertext to be sent.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Session::Rustls(one) => !one.memory.unsent().is_empty(),
            Session::Openssl(stream) => !stream.get_ref().unsent().is_empty(),
        }
    }

    /// Goes on with the handshake as far as what has come allows; true when it is complete. What is to be sent, an alert
    /// after an error included, is in the memory afterwards.
    pub(crate) fn handshake(&mut self) -> Result<bool, SessionError> {
        match self {
            Session::Rustls(one) => {
                if !one.knows_client().map_err(SessionError::Rustls)? {
                    return Ok(false);
                }
                while one.connection.is_handshaking() && one.take_in()? {}
                Ok(!one.connection.is_handshaking())
            }
            Session::Openssl(stream) => {
                clear_errors();
                match stream.do_handshake() {
                    Ok(()) => Ok(true),
                    Err(error) if error.code() == ErrorCode::WANT_READ => Ok(false),
                    Err(error) if is_cut(&error) => {
                        Err(SessionError::Io(io::ErrorKind::UnexpectedEof.into()))
                    }
                    Err(error) => Err(SessionError::Openssl(error)),
                }
            }
        }
    }

    /// Decrypts into `buffer` what has come: 0 is the peer's proper end, `WouldBlock` says that more has to come first,
    /// `UnexpectedEof` that the connection was cut. `Interrupted` says that `patience` has ended, which is for messages that
    /// hold no plaintext, and that there is more to do.
    pub(crate) fn read(&mut self, buffer: &mut [u8], patience: &mut u32) -> io::Result<usize> {
        match self {
            // It has a limit of its own: 32 changes of keys without plaintext.
            Session::Rustls(one) => one.read(buffer),
            Session::Openssl(stream) => {
                clear_errors();
                let allowed = patience.saturating_add(READS_A_RECORD);
                stream.get_mut().allow_reads(allowed);
                let result = stream.ssl_read(buffer).or_else(ended_or_failed);
                let memory = stream.get_mut();
                let reads = allowed - memory.reads_left();
                memory.allow_reads(u32::MAX);
                *patience = patience.saturating_sub(reads.saturating_sub(READS_A_RECORD));
                match result {
                    Err(error)
                        if error.kind() == io::ErrorKind::WouldBlock
                            && !memory.unread().is_empty() =>
                    {
                        Err(io::ErrorKind::Interrupted.into())
                    }
                    result => result,
                }
            }
        }
    }

    /// Encrypts all of `plaintext`.
    pub(crate) fn write(&mut self, mut plaintext: &[u8]) -> io::Result<()> {
        match self {
            Session::Rustls(one) => {
                one.connection.writer().write_all(plaintext)?;
                one.bring_out()
            }
            Session::Openssl(stream) => {
                clear_errors();
                while !plaintext.is_empty() {
                    let count = stream.ssl_write(plaintext).map_err(failed)?;
                    plaintext = &plaintext[count..];
                }
                Ok(())
            }
        }
    }

    /// Says that no more plaintext will come (close_notify).
    pub(crate) fn close(&mut self) {
        match self {
            Session::Rustls(one) => {
                one.connection.send_close_notify();
                // Memory takes everything.
                let _ = one.bring_out();
            }
            Session::Openssl(stream) => {
                clear_errors();
                // Fails only where the connection has failed before, and there is nothing to say then.
                let _ = stream.shutdown();
            }
        }
    }

    /// Version and suite by their standard names, such as `TLSv1.3 TLS_AES_128_GCM_SHA256`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Session::Rustls(one) => {
                let version = match one.connection.protocol_version() {
                    Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                    Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                    _ => "TLS",
                };
                let suite = one.connection.negotiated_cipher_suite();
                let name = suite.map_or(String::new(), |suite| format!("{:?}", suite.suite()));
                format!("{version} {}", name.replacen("TLS13_", "TLS_", 1))
            }
            Session::Openssl(stream) => {
                let cipher = stream.ssl().current_cipher();
                let name =
                    cipher.map_or("", |one| one.standard_name().unwrap_or_else(|| one.name()));
                format!("{} {name}", stream.ssl().version_str())
            }
        }
    }
}

fn connection(config: Arc<ServerConfig>) -> Result<ServerConnection, rustls::Error> {
    let mut connection = ServerConnection::new(config)?;
    // `Stream` bounds what it gives to encrypt, and takes all the ciphertext at once.
    connection.set_buffer_limit(None);
    Ok(connection)
}

impl Rustls {
    /// Chooses the configuration for this client. False as long as too little of its first message is there.
    fn knows_client(&mut self) -> Result<bool, rustls::Error> {
        let has_ended = self.memory.has_ended();
        let answer = match has_session_id(self.memory.unread()) {
            None if self.ticketless.is_some() && !has_ended => return Ok(false),
            answer => answer,
        };
        if let (Some(config), Some(false)) = (self.ticketless.take(), answer) {
            self.connection = connection(config)?;
        }
        Ok(true)
    }

    /// Gives rustls some of what has come. False when there is nothing to give.
    fn take_in(&mut self) -> Result<bool, SessionError> {
        if self.memory.unread().is_empty() && !self.memory.has_ended() {
            self.shrink();
            return Ok(false);
        }
        let count = self
            .connection
            .read_tls(&mut self.memory)
            .map_err(SessionError::Io)?;
        let processed = self.connection.process_new_packets();
        // Answers and, after an error, the alert.
        self.bring_out().map_err(SessionError::Io)?;
        processed.map_err(SessionError::Rustls)?;
        if count == 0 && (!self.memory.has_ended() || self.connection.is_handshaking()) {
            return Err(SessionError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(true)
    }

    /// Takes all ciphertext out of rustls.
    fn bring_out(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.memory)?;
        }
        Ok(())
    }

    /// rustls keeps the room of the longest record until it reads again. This makes it try.
    fn shrink(&mut self) {
        let _ = self.connection.read_tls(&mut Nothing);
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if let Some(error) = &self.failed {
                let error = SessionError::Rustls(error.clone());
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            match self.take_in() {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(SessionError::Io(error)) => return Err(error),
                Err(SessionError::Rustls(error)) => self.failed = Some(error),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// OpenSSL judges a call by the thread's error queue, in which another's errors may still be.
pub(crate) fn clear_errors() {
    let _ = ErrorStack::get();
}

fn ended_or_failed(error: ssl::Error) -> io::Result<usize> {
    match error.code() {
        ErrorCode::ZERO_RETURN => Ok(0),
        ErrorCode::WANT_READ => Err(io::ErrorKind::WouldBlock.into()),
        _ => Err(failed(error)),
    }
}

fn failed(error: ssl::Error) -> io::Error {
    match is_cut(&error) {
        true => io::ErrorKind::UnexpectedEof.into(),
        false => io::Error::new(io::ErrorKind::InvalidData, SessionError::Openssl(error)),
    }
}

/// The end came without TLS' own farewell: OpenSSL says so, or has nothing to say.
fn is_cut(error: &ssl::Error) -> bool {
    let is_silent = error.io_error().is_none() && error.ssl_error().is_none();
    (error.code() == ErrorCode::SYSCALL && is_silent)
        || reason_codes(error).any(|code| code == reason::UNEXPECTED_EOF)
}

/// OpenSSL's reasons, outermost last.
pub(crate) fn reason_codes(error: &ssl::Error) -> impl Iterator<Item = i32> {
    let errors = error.ssl_error().map_or(&[][..], ErrorStack::errors);
    errors.iter().map(openssl::error::Error::reason_code)
}

/// Numbers of `openssl/sslerr.h`, which are never given away again.
pub(crate) mod reason {
    pub(crate) const BINDER_DOES_NOT_VERIFY: i32 = 253;
    pub(crate) const CERTIFICATE_VERIFY_FAILED: i32 = 134;
    pub(crate) const DECRYPTION_FAILED_OR_BAD_RECORD_MAC: i32 = 281;
    pub(crate) const DIGEST_CHECK_FAILED: i32 = 149;
    pub(crate) const NO_SHARED_CIPHER: i32 = 193;
    pub(crate) const UNEXPECTED_EOF: i32 = 294;
    pub(crate) const UNSUPPORTED_PROTOCOL: i32 = 258;
    pub(crate) const VERSION_TOO_LOW: i32 = 396;
    /// An alert of the peer's is its number and this.
    pub(crate) const ALERT: i32 = 1000;
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Rustls(error) => error.fmt(f),
            SessionError::Openssl(error) => error.fmt(f),
            SessionError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Session::Rustls(_) => "Rustls(..)",
            Session::Openssl(_) => "Openssl(..)",
        })
    }
}
