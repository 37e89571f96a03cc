//! Signatures of the handshake: the broker's own made by OpenSSL, and the clients' checked by it.
//!
//! rustls brings signatures of its own, but they leave out RSA keys above 4096 bits, P-521 and certificates of version 1.
//! One way for all keys is less to go wrong than two.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKey, PKeyRef, Private, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer, Verifier};
use rustls::sign::SigningKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::session::clear_errors;

/// The broker's private key.
#[derive(Debug)]
pub(crate) struct OpensslKey {
    key: PKey<Private>,
    schemes: &'static [SignatureScheme],
}

#[derive(Debug)]
struct OpensslSigner {
    key: PKey<Private>,
    scheme: SignatureScheme,
}

const RSA_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// What clients may sign with.
pub(crate) fn verified_schemes() -> Vec<SignatureScheme> {
    let mut schemes = vec![
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ECDSA_NISTP521_SHA512,
        SignatureScheme::ED25519,
    ];
    schemes.extend(RSA_SCHEMES);
    schemes
}

impl OpensslKey {
    /// None for a kind of key that TLS has no use for.
    pub(crate) fn new(key: PKey<Private>) -> Option<OpensslKey> {
        let schemes: &[SignatureScheme] = match (key.id(), curve(&key)) {
            (Id::RSA, _) => RSA_SCHEMES,
            (Id::ED25519, _) => &[SignatureScheme::ED25519],
            (Id::EC, Some(Nid::X9_62_PRIME256V1)) => &[SignatureScheme::ECDSA_NISTP256_SHA256],
            (Id::EC, Some(Nid::SECP384R1)) => &[SignatureScheme::ECDSA_NISTP384_SHA384],
            (Id::EC, Some(Nid::SECP521R1)) => &[SignatureScheme::ECDSA_NISTP521_SHA512],
            _ => return None,
        };
        Some(OpensslKey { key, schemes })
    }
}

impl SigningKey for OpensslKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = *self.schemes.iter().find(|one| offered.contains(one))?;
        let key = self.key.clone();
        Some(Box::new(OpensslSigner { key, scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.key.id() {
            Id::RSA => SignatureAlgorithm::RSA,
            Id::ED25519 => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

impl rustls::sign::Signer for OpensslSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let sign = || -> Result<Vec<u8>, ErrorStack> {
            let mut signer = match digest(self.scheme) {
                Some(digest) => Signer::new(digest, &self.key)?,
                None => Signer::new_without_digest(&self.key)?,
            };
            if is_pss(self.scheme) {
                signer.set_rsa_padding(Padding::PKCS1_PSS)?;
                signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            }
            signer.sign_oneshot_to_vec(message)
        };
        sign().map_err(|error| rustls::Error::General(format!("signing failed: {error}")))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Whether `signature` is the key's under `message`. In TLS 1.3 (`strict`) an ECDSA scheme names its curve too, and
/// PKCS#1 v1.5 is out (RFC 8446 4.2.3).
pub(crate) fn is_signed(
    key: &PKeyRef<Public>,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
    strict: bool,
) -> bool {
    let kind = match scheme {
        SignatureScheme::ED25519 => Id::ED25519,
        scheme if RSA_SCHEMES.contains(&scheme) => Id::RSA,
        _ => Id::EC,
    };
    let of_curve = match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => Some(Nid::X9_62_PRIME256V1),
        SignatureScheme::ECDSA_NISTP384_SHA384 => Some(Nid::SECP384R1),
        SignatureScheme::ECDSA_NISTP521_SHA512 => Some(Nid::SECP521R1),
        _ => None,
    };
    if !verified_schemes().contains(&scheme)
        || key.id() != kind
        || (strict && curve(key) != of_curve)
        || (strict && kind == Id::RSA && !is_pss(scheme))
    {
        return false;
    }
    let verify = || -> Result<bool, ErrorStack> {
        let mut verifier = match digest(scheme) {
            Some(digest) => Verifier::new(digest, key)?,
            None => Verifier::new_without_digest(key)?,
        };
        if is_pss(scheme) {
            verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
            verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        verifier.verify_oneshot(signature, message)
    };
    let is_signed = verify().unwrap_or(false);
    clear_errors();
    is_signed
}

fn curve<T: HasPublic>(key: &PKeyRef<T>) -> Option<Nid> {
    let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
    clear_errors();
    curve
}

fn is_pss(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512
    )
}

/// None where the algorithm has its own (Ed25519).
fn digest(scheme: SignatureScheme) -> Option<MessageDigest> {
    match scheme {
        SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::ECDSA_NISTP256_SHA256 => Some(MessageDigest::sha256()),
        SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::ECDSA_NISTP384_SHA384 => Some(MessageDigest::sha384()),
        SignatureScheme::RSA_PSS_SHA512
        | SignatureScheme::RSA_PKCS1_SHA512
        | SignatureScheme::ECDSA_NISTP521_SHA512 => Some(MessageDigest::sha512()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::rsa::Rsa;
    use rustls::sign::SigningKey;

    use super::*;

    fn keys() -> Vec<PKey<Private>> {
        let on = |curve| {
            let group = EcGroup::from_curve_name(curve).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
        };
        vec![
            PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
            on(Nid::X9_62_PRIME256V1),
            on(Nid::SECP384R1),
            on(Nid::SECP521R1),
            PKey::generate_ed25519().unwrap(),
        ]
    }

    #[test]
    fn every_scheme_of_every_key_is_made_and_checked() {
        let mut tried = 0;
        for key in keys() {
            let public = PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap();
            let own = OpensslKey::new(key).unwrap();
            for &scheme in own.schemes {
                let signer = own.choose_scheme(&[scheme]).unwrap();
                let signature = signer.sign(b"message").unwrap();
                assert!(
                    is_signed(&public, scheme, b"message", &signature, false),
                    "{scheme:?}"
                );
                let is_pkcs1 = scheme.as_str().unwrap().contains("PKCS1");
                assert_eq!(
                    is_signed(&public, scheme, b"message", &signature, true),
                    !is_pkcs1
                );
                assert!(!is_signed(&public, scheme, b"massage", &signature, false));
                // Not without its first byte: of an RSA signature that may be a zero, which says nothing.
                let part = &signature[..signature.len() - 1];
                assert!(!is_signed(&public, scheme, b"message", part, false));
                for other in verified_schemes() {
                    assert!(
                        other == scheme || !is_signed(&public, other, b"message", &signature, true),
                        "{scheme:?} passes for {other:?}"
                    );
                }
                tried += 1;
            }
        }
        assert_eq!(tried, verified_schemes().len());
    }

    #[test]
    fn a_key_signs_only_what_is_offered_and_its_own() {
        for key in keys() {
            let own = OpensslKey::new(key).unwrap();
            assert!(
                own.choose_scheme(&[SignatureScheme::ED448, SignatureScheme::RSA_PKCS1_SHA1])
                    .is_none()
            );
        }
        let group = EcGroup::from_curve_name(Nid::SECP256K1).unwrap();
        let other = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        assert!(OpensslKey::new(other).is_none());
    }
}
