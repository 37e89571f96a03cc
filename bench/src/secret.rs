//! Certificates and keys, made anew for each run of the bench, and the client's side of TLS.

use std::net::TcpStream;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslConnector, SslMethod, SslMode, SslStream, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Name};

use crate::failure::{Failure, Result};

/// How clients reach the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transport {
    #[default]
    Plain,
    /// TLS with a certificate of the broker's.
    Certificate,
    /// TLS with a pre-shared key.
    Psk,
}

/// Who the holder of the pre-shared key says it is.
pub(crate) const IDENTITY: &str = "bench";
/// Its key, in hexadecimal digits; it protects nothing but this program's messages to itself.
pub(crate) const KEY: &str = "6d65617375726564206f6e206c6f6f70";

/// A self-signed certificate on P-256, which serves as its own CA.
#[derive(Debug)]
pub(crate) struct Secrets {
    certificate: X509,
    key: PKey<openssl::pkey::Private>,
}

impl Secrets {
    pub(crate) fn new() -> Result<Secrets> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509Name::builder()?;
        name.append_entry_by_nid(Nid::COMMONNAME, "localhost")?;
        let name = name.build();
        let mut serial = BigNum::new()?;
        serial.rand(64, MsbOption::MAYBE_ZERO, false)?;
        let serial = serial.to_asn1_integer()?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_pubkey(&key)?;
        let (from, until) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(2)?);
        builder.set_not_before(&from)?;
        builder.set_not_after(&until)?;
        builder.append_extension(BasicConstraints::new().ca().build()?)?;
        let mut names = SubjectAlternativeName::new();
        let names = names.dns("localhost").ip("127.0.0.1");
        let names = names.build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Secrets {
            certificate: builder.build(),
            key,
        })
    }

    /// The certificate as PEM text.
    pub(crate) fn certificate(&self) -> Result<Vec<u8>> {
        Ok(self.certificate.to_pem()?)
    }

    /// Its key as PEM text, PKCS#8.
    pub(crate) fn key(&self) -> Result<Vec<u8>> {
        Ok(self.key.private_key_to_pem_pkcs8()?)
    }

    /// Makes the client's handshake.
    pub(crate) fn connect(
        &self,
        stream: TcpStream,
        transport: Transport,
    ) -> Result<SslStream<TcpStream>> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_mode(SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE);
        if transport == Transport::Psk {
            builder.set_cipher_list("PSK")?;
            builder.set_verify(SslVerifyMode::NONE);
            builder.set_psk_client_callback(|_, _, identity, key| {
                let wanted = [IDENTITY.as_bytes(), b"\0"].concat();
                identity[..wanted.len()].copy_from_slice(&wanted);
                let digits = KEY.as_bytes().chunks(2);
                let mut len = 0;
                for (pair, byte) in digits.zip(key) {
                    let text = std::str::from_utf8(pair).unwrap_or_default();
                    *byte = u8::from_str_radix(text, 16).unwrap_or_default();
                    len += 1;
                }
                Ok(len)
            });
        } else {
            let mut store = X509StoreBuilder::new()?;
            store.add_cert(self.certificate.clone())?;
            builder.set_cert_store(store.build());
        }
        let mut ssl = builder.build().configure()?;
        ssl.set_verify_hostname(transport == Transport::Certificate);
        let ssl: Ssl = ssl.into_ssl("127.0.0.1")?;
        let mut stream = SslStream::new(ssl, stream)?;
        stream
            .connect()
            .map_err(|error| Failure::from(format!("the handshake failed: {error}")))?;
        Ok(stream)
    }
}
