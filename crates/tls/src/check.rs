//! Certificates and keys as the settings have them, and what is wrong with them.

use std::fmt;
use std::time::SystemTime;

use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use crate::certificate;
use crate::pem;
use crate::problem::{Fault, Field, Problem};

/// What a server's TLS is made of.
#[derive(Clone, Copy)]
pub enum Material<'a> {
    /// No TLS.
    None,
    /// A certificate, and perhaps the clients' too.
    Certificate {
        /// PEM: who signs the clients' certificates; intermediates of the broker's may stand here too. May be empty if
        /// clients are not asked.
        ca: &'a [u8],
        /// PEM: the broker's certificate and its intermediates.
        certificate: &'a [u8],
        /// PEM: its key.
        private_key: &'a [u8],
        /// Whether clients must show a certificate of the CA (*Certificate CN*).
        ask_client: bool,
    },
    /// A pre-shared key.
    Psk {
        /// Its name, at most 256 bytes.
        identity: &'a [u8],
        /// Its bytes, 1 to 512.
        key: &'a [u8],
    },
}

/// Everything that is to be said about some material.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// With these no server can be made.
    pub errors: Vec<Problem>,
    /// A server can be made all the same.
    pub warnings: Vec<Problem>,
}

/// OpenSSL's PSK_MAX_IDENTITY_LEN.
pub(crate) const MAX_PSK_IDENTITY: usize = 256;
/// OpenSSL's PSK_MAX_PSK_LEN.
pub(crate) const MAX_PSK_KEY: usize = 512;
/// A key with less than 128 bits is within reach of a search.
const GOOD_PSK_KEY: usize = 16;
/// Time to get another certificate, in seconds.
const SOON: i64 = 30 * 86_400;
/// Room for the signatures of TLS 1.3 with SHA-256 (RSA-PSS).
const LEAST_RSA_BITS: u32 = 1024;
/// Certificates in a chain.
const MOST_CERTIFICATES: usize = 10;

impl Material<'_> {
    /// Says all that is wrong at this time of the clock. Dates are never an error: a router boots in 1970.
    pub fn check(&self, now: SystemTime) -> Report {
        let mut report = Report::default();
        match *self {
            Material::None => {}
            Material::Psk { identity, key } => {
                report.errors = psk(identity, key);
                if !key.is_empty() && key.len() < GOOD_PSK_KEY {
                    let short = Fault::ShortKey(key.len());
                    report.warnings.push(Field::PskKey.problem(short));
                }
            }
            Material::Certificate { .. } => match Certified::load(self) {
                Ok(certified) => report.warnings = certified.warnings(certificate::now(now)),
                Err(errors) => report.errors = errors,
            },
        }
        report
    }
}

/// What is wrong with a pre-shared key.
pub(crate) fn psk(identity: &[u8], key: &[u8]) -> Vec<Problem> {
    let mut errors = Vec::new();
    for (field, value, most) in [
        (Field::PskIdentity, identity, MAX_PSK_IDENTITY),
        (Field::PskKey, key, MAX_PSK_KEY),
    ] {
        if value.is_empty() {
            errors.push(field.problem(Fault::Missing));
        } else if value.len() > most {
            errors.push(field.problem(Fault::TooLong(most)));
        }
    }
    if identity.contains(&0) {
        errors.push(Field::PskIdentity.problem(Fault::Nul));
    }
    errors
}

/// Certificates and key that belong together.
pub(crate) struct Certified {
    pub(crate) authorities: Vec<X509>,
    /// The broker's, then who signed it, and so on; without the root, which clients must know themselves.
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
    /// In the certificate's field and of no use.
    idle: usize,
}

impl Certified {
    /// Reads certificates and key; for any other material there is nothing to read.
    pub(crate) fn load(material: &Material<'_>) -> Result<Certified, Vec<Problem>> {
        let Material::Certificate {
            ca,
            certificate,
            private_key,
            ask_client,
        } = *material
        else {
            return Err(Vec::new());
        };
        let mut problems = Vec::new();
        let mut read = |field: Field, text: &[u8], needed: bool| {
            if !text.trim_ascii().is_empty() {
                return field.certificates(text, &mut problems);
            }
            if needed {
                problems.push(field.problem(Fault::Missing));
            }
            Vec::new()
        };
        let authorities = read(Field::CaCertificates, ca, ask_client);
        let own = read(Field::Certificate, certificate, true);
        let key = match private_key.trim_ascii() {
            b"" => Err(Fault::Missing),
            text => pem::private_key(text).and_then(supported),
        };
        let key = match key {
            Ok(key) => key,
            Err(fault) => {
                problems.push(Field::PrivateKey.problem(fault));
                return Err(problems);
            }
        };
        let fits = |one: &X509| one.public_key().is_ok_and(|public| public.public_eq(&key));
        let leaf = own.iter().find(|one| fits(one));
        // Of certificates that can't be read nobody knows whether they fit.
        if leaf.is_none() && !own.is_empty() {
            problems.push(Field::PrivateKey.problem(Fault::KeyMismatch));
        }
        let Some(leaf) = leaf.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        let pool: Vec<&X509> = own.iter().chain(&authorities).collect();
        let chain = chain(leaf, &pool);
        let used = |one: &&X509| {
            certificate::is_self_issued(one) || chain.iter().any(|part| same(part, one))
        };
        let idle = own.iter().filter(|one| !used(one)).count();
        Ok(Certified {
            authorities,
            chain,
            key,
            idle,
        })
    }

    fn warnings(&self, now: i64) -> Vec<Problem> {
        let mut warnings = Vec::new();
        let leaf = &self.chain[0];
        let own = |fault| Field::Certificate.problem(fault);
        let is_authority = |one: &X509| self.authorities.iter().any(|other| same(one, other));
        let in_own_field = |one: &&X509| same(one, leaf) || !is_authority(one);
        let late = self
            .chain
            .iter()
            .filter(in_own_field)
            .find_map(|one| dates(one, now));
        warnings.extend(late.map(own));
        let late = self.authorities.iter().find_map(|one| dates(one, now));
        warnings.extend(late.map(|fault| Field::CaCertificates.problem(fault)));
        let mut warn_if = |so: bool, fault| {
            if so {
                warnings.push(own(fault));
            }
        };
        let names = leaf.subject_alt_names().map_or(0, |names| names.len());
        let has_common_name = certificate::common_name(leaf).is_some();
        warn_if(certificate::is_version_1(leaf), Fault::Version1);
        warn_if(names == 0 && has_common_name, Fault::NoAlternativeName);
        warn_if(names == 0 && !has_common_name, Fault::NoName);
        let weak_signature =
            certificate::has_weak_signature(leaf) && !certificate::is_self_issued(leaf);
        warn_if(
            certificate::has_weak_key(leaf) || weak_signature,
            Fault::Weak,
        );
        warn_if(self.idle > 0, Fault::NotInChain);
        let as_authority = is_authority(leaf);
        if as_authority && !certificate::is_self_issued(leaf) {
            warnings.push(Field::CaCertificates.problem(Fault::OwnCertificateAsAuthority));
        } else if !self.authorities.is_empty() && !as_authority && !self.is_signed_by_authority() {
            warnings.push(own(Fault::OtherAuthority));
        }
        warnings
    }

    /// Whether the chain ends at one of the CAs, or with one.
    fn is_signed_by_authority(&self) -> bool {
        let last = &self.chain[self.chain.len() - 1];
        self.authorities
            .iter()
            .any(|one| same(one, last) || has_signed(one, last))
    }
}

fn supported(key: PKey<Private>) -> Result<PKey<Private>, Fault> {
    if key.id() == Id::RSA && key.bits() < LEAST_RSA_BITS {
        return Err(Fault::KeyTooSmall(key.bits()));
    }
    let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
    let curves = [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1];
    match curve {
        Some(curve) if curves.contains(&curve) => Ok(key),
        None if key.id() != Id::EC => Ok(key),
        _ => Err(Fault::OtherKeyKind),
    }
}

/// The leaf and who signed it, as far as they are in the pool, without the root.
fn chain(leaf: &X509, pool: &[&X509]) -> Vec<X509> {
    let mut chain = vec![leaf.clone()];
    while chain.len() < MOST_CERTIFICATES {
        let last = &chain[chain.len() - 1];
        let signer = pool.iter().find(|one| {
            !certificate::is_self_issued(one)
                && has_signed(one, last)
                && !chain.iter().any(|part| same(part, one))
        });
        match signer {
            Some(signer) => chain.push((*signer).clone()),
            None => break,
        }
    }
    chain
}

fn has_signed(issuer: &X509Ref, subject: &X509Ref) -> bool {
    issuer.issued(subject) == X509VerifyResult::OK
        && issuer
            .public_key()
            .is_ok_and(|key| subject.verify(&key).unwrap_or(false))
}

fn same(one: &X509Ref, other: &X509Ref) -> bool {
    matches!((one.to_der(), other.to_der()), (Ok(one), Ok(other)) if one == other)
}

fn dates(one: &X509Ref, now: i64) -> Option<Fault> {
    let not_before = certificate::seconds(one.not_before())?;
    let not_after = certificate::seconds(one.not_after())?;
    if now < not_before {
        Some(Fault::NotYetValid { not_before, now })
    } else if now > not_after {
        Some(Fault::Expired { not_after, now })
    } else if now > not_after - SOON {
        Some(Fault::ExpiresSoon { not_after })
    } else {
        None
    }
}

impl fmt::Debug for Material<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Material::None => "None",
            Material::Certificate { .. } => "Certificate { .. }",
            Material::Psk { .. } => "Psk { .. }",
        })
    }
}
