//! *Certificate CN*: clients' certificates judged by OpenSSL, since rustls' own judge refuses X.509 v1.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId, X509StoreContext, X509StoreContextRef};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use crate::certificate;
use crate::refusal::{CertificateRefusal, date};
use crate::session::clear_errors;
use crate::signing;

/// Who signs the clients' certificates.
pub(crate) struct Authorities {
    store: X509Store,
}

/// RSA from 2048 bits on, no SHA-1: OpenSSL's own default since 3.2.
const SECURITY_LEVEL: i32 = 2;
/// Certificates that a client may send, its own included.
pub(crate) const MOST_SENT: usize = 10;

impl Authorities {
    /// Any of the certificates is trusted to have signed a client's, a root or not.
    pub(crate) fn new(certificates: &[X509]) -> Result<Authorities, ErrorStack> {
        let mut parameters = X509VerifyParam::new()?;
        parameters.set_purpose(X509PurposeId::SSL_CLIENT)?;
        parameters.set_auth_level(SECURITY_LEVEL);
        parameters.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        let mut builder = X509StoreBuilder::new()?;
        for certificate in certificates {
            builder.add_cert(certificate.clone())?;
        }
        builder.set_param(&parameters)?;
        let store = builder.build();
        Ok(Authorities { store })
    }

    /// Judges a client's certificates, its own first, by this moment's clock. Only to read the hundreds that fit into a
    /// message of TLS would take as long as tens of handshakes, and anyone may send them.
    pub(crate) fn judge(
        &self,
        certificates: &[CertificateDer<'_>],
    ) -> Result<(), CertificateRefusal> {
        if certificates.len() > MOST_SENT {
            return Err(CertificateRefusal::TooMany(certificates.len()));
        }
        let result = self.verify(certificates);
        clear_errors();
        result.unwrap_or_else(|error| Err(CertificateRefusal::Other(error.to_string())))
    }

    fn verify(
        &self,
        certificates: &[CertificateDer<'_>],
    ) -> Result<Result<(), CertificateRefusal>, ErrorStack> {
        let mut parsed = certificates.iter().map(|der| X509::from_der(der));
        let Some(Ok(leaf)) = parsed.next() else {
            return Ok(Err(CertificateRefusal::Malformed));
        };
        let mut others = Stack::new()?;
        for certificate in parsed {
            match certificate {
                Ok(certificate) => others.push(certificate)?,
                Err(_) => return Ok(Err(CertificateRefusal::Malformed)),
            }
        }
        let mut context = X509StoreContext::new()?;
        context.init(&self.store, &leaf, &others, |context| {
            Ok(match context.verify_cert()? {
                true => Ok(()),
                false => Err(refusal(context)),
            })
        })
    }
}

fn refusal(context: &X509StoreContextRef) -> CertificateRefusal {
    let now = certificate::now(SystemTime::now());
    let dates = context.current_cert().map(|one| {
        let time = |time| certificate::seconds(time).unwrap_or_default();
        (time(one.not_before()), time(one.not_after()))
    });
    if context.error_depth() > 0
        && let (9 | 10, Some((not_before, not_after))) = (context.error().as_raw(), dates)
    {
        let (start, end, now) = (date(not_before), date(not_after), date(now));
        return CertificateRefusal::Other(format!(
            "that of its CA is valid from {start} to {end} and it is {now} here: check the router's time"
        ));
    }
    // X509_V_ERR_..., `openssl/x509_vfy.h`.
    match (context.error().as_raw(), dates) {
        (2 | 18 | 19 | 20 | 21, _) => CertificateRefusal::OtherAuthority,
        // No signature of the CA of that name: another CA with the same name.
        (7, _) => CertificateRefusal::OtherAuthority,
        (9, Some((not_before, _))) => CertificateRefusal::NotYetValid { not_before, now },
        (10, Some((_, not_after))) => CertificateRefusal::Expired { not_after, now },
        (26, _) => CertificateRefusal::Purpose,
        (66..=68, _) => CertificateRefusal::Weak,
        (_, _) => CertificateRefusal::Other(context.error().error_string().to_string()),
    }
}

/// The authorities as rustls asks them.
#[derive(Debug)]
pub(crate) struct Verifier(pub(crate) Arc<Authorities>);

impl ClientCertVerifier for Verifier {
    /// Empty, like Mosquitto's: Java's clients choose their certificate by it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut certificates = vec![end_entity.clone()];
        certificates.extend_from_slice(intermediates);
        match self.0.judge(&certificates) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => Err(as_error(refusal).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(message, cert, dss, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(message, cert, dss, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signing::verified_schemes()
    }
}

fn check_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    strict: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let key = X509::from_der(certificate).and_then(|one| one.public_key());
    clear_errors();
    let key = key.map_err(|_| Error::from(CertificateError::BadEncoding))?;
    match signing::is_signed(
        &key,
        signature.scheme,
        message,
        signature.signature(),
        strict,
    ) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}

/// rustls chooses its alert by the error.
fn as_error(refusal: CertificateRefusal) -> CertificateError {
    let time = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or_default();
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    };
    match refusal {
        CertificateRefusal::OtherAuthority => CertificateError::UnknownIssuer,
        CertificateRefusal::Purpose => CertificateError::InvalidPurpose,
        CertificateRefusal::Malformed => CertificateError::BadEncoding,
        CertificateRefusal::Expired { not_after, now } => CertificateError::ExpiredContext {
            time: time(now),
            not_after: time(not_after),
        },
        CertificateRefusal::NotYetValid { not_before, now } => {
            CertificateError::NotValidYetContext {
                time: time(now),
                not_before: time(not_before),
            }
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

/// The way back from rustls' error.
pub(crate) fn from_error(error: &CertificateError) -> CertificateRefusal {
    let seconds = |time: &UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match error {
        CertificateError::UnknownIssuer => CertificateRefusal::OtherAuthority,
        CertificateError::InvalidPurpose => CertificateRefusal::Purpose,
        CertificateError::BadEncoding => CertificateRefusal::Malformed,
        CertificateError::BadSignature => CertificateRefusal::Signature,
        CertificateError::ExpiredContext { time, not_after } => CertificateRefusal::Expired {
            not_after: seconds(not_after),
            now: seconds(time),
        },
        CertificateError::NotValidYetContext { time, not_before } => {
            CertificateRefusal::NotYetValid {
                not_before: seconds(not_before),
                now: seconds(time),
            }
        }
        CertificateError::Other(OtherError(error)) => error
            .downcast_ref::<CertificateRefusal>()
            .cloned()
            .unwrap_or_else(|| CertificateRefusal::Other(error.to_string())),
        other => CertificateRefusal::Other(format!("{other:?}")),
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities(..)")
    }
}
