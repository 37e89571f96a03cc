//! Certificates and keys as the settings have them, and what is wrong with them.

use std::fmt;
use std::time::SystemTime;

use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::{X509, X509Ref};

use crate::certificate;
use crate::chain;
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

/// What is to be warned of, whatever the time, and what depends on it. Nothing of the certificates themselves is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    lasting: Vec<Problem>,
    dates: Vec<Validity>,
}

/// When a certificate of this field is valid, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Validity {
    field: Field,
    not_before: i64,
    not_after: i64,
}

impl Material<'_> {
    /// Says all that is wrong at this time of the clock. Dates are never an error: a router boots in 1970.
    pub fn check(&self, now: SystemTime) -> Report {
        match self.judge() {
            Ok(remarks) => Report {
                errors: Vec::new(),
                warnings: remarks.at(now),
            },
            Err(errors) => Report {
                errors,
                warnings: Vec::new(),
            },
        }
    }

    /// What is to be warned of.
    ///
    /// # Errors
    /// With what is wrong no server can be made.
    pub fn judge(&self) -> Result<Remarks, Vec<Problem>> {
        match *self {
            Material::None => Ok(Remarks::default()),
            Material::Psk { identity, key } => {
                let errors = psk(identity, key);
                if !errors.is_empty() {
                    return Err(errors);
                }
                let mut remarks = Remarks::default();
                if key.len() < GOOD_PSK_KEY {
                    let short = Fault::ShortKey(key.len());
                    remarks.lasting.push(Field::PskKey.problem(short));
                }
                Ok(remarks)
            }
            Material::Certificate { .. } => Ok(Certified::load(self)?.remarks()),
        }
    }
}

impl Remarks {
    /// All of them at this time of the clock: of dates one for each field, the first that is wrong.
    pub fn at(&self, now: SystemTime) -> Vec<Problem> {
        let now = certificate::now(now);
        let mut warnings: Vec<Problem> = Vec::new();
        for validity in &self.dates {
            if warnings.iter().all(|known| known.field != validity.field) {
                warnings.extend(
                    validity
                        .fault(now)
                        .map(|fault| validity.field.problem(fault)),
                );
            }
        }
        warnings.extend_from_slice(&self.lasting);
        warnings
    }
}

impl Validity {
    fn of(field: Field, certificate: &X509Ref) -> Option<Validity> {
        Some(Validity {
            field,
            not_before: certificate::seconds(certificate.not_before())?,
            not_after: certificate::seconds(certificate.not_after())?,
        })
    }

    fn fault(&self, now: i64) -> Option<Fault> {
        let Validity {
            not_before,
            not_after,
            ..
        } = *self;
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
    /// Other things that strike the eye.
    remarks: Vec<Problem>,
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
        let fits = |key: &PKey<Private>, one: &X509| {
            one.public_key().is_ok_and(|public| public.public_eq(key))
        };
        let fitting = key.as_ref().ok();
        let fitting = fitting.and_then(|key| own.iter().find(|one| fits(key, one)));
        let mut found = None;
        // Where the key does not tell, the broker's certificate is the first one. Of certificates that can't be read nobody
        // knows who signed what.
        if let Some(leaf) = fitting.or(own.first()).filter(|_| problems.is_empty()) {
            match chain::find(leaf, &own, &authorities) {
                Ok(chain) => found = Some(chain),
                Err(problem) => problems.push(problem),
            }
        }
        match &key {
            Err(fault) => problems.push(Field::PrivateKey.problem(fault.clone())),
            // Of certificates that can't be read nobody knows whether they fit.
            Ok(_) if fitting.is_none() && !own.is_empty() => {
                problems.push(Field::PrivateKey.problem(Fault::KeyMismatch));
            }
            Ok(_) => {}
        }
        match (found, key) {
            (Some(chain), Ok(key)) if problems.is_empty() => Ok(Certified {
                authorities,
                chain: chain.certificates,
                key,
                remarks: chain.remarks,
            }),
            _ => Err(problems),
        }
    }

    fn remarks(&self) -> Remarks {
        let leaf = &self.chain[0];
        let is_authority = |one: &X509| {
            let mut authorities = self.authorities.iter();
            authorities.any(|other| certificate::same(one, other))
        };
        let own = self.chain.iter();
        let own = own.filter(|one| certificate::same(one, leaf) || !is_authority(one));
        let own = own.filter_map(|one| Validity::of(Field::Certificate, one));
        let authorities = self.authorities.iter();
        let authorities = authorities.filter_map(|one| Validity::of(Field::CaCertificates, one));
        let mut lasting = Vec::new();
        let mut warn_if = |so: bool, fault| {
            if so {
                lasting.push(Field::Certificate.problem(fault));
            }
        };
        let names = leaf.subject_alt_names().map_or(0, |names| names.len());
        let has_common_name = certificate::common_name(leaf).is_some();
        warn_if(certificate::is_version_1(leaf), Fault::Version1);
        warn_if(names == 0 && has_common_name, Fault::NoAlternativeName);
        warn_if(names == 0 && !has_common_name, Fault::NoName);
        let weak_signature =
            certificate::has_weak_signature(leaf) && !certificate::is_self_signed(leaf);
        warn_if(
            certificate::has_weak_key(leaf) || weak_signature,
            Fault::Weak,
        );
        lasting.extend_from_slice(&self.remarks);
        Remarks {
            lasting,
            dates: own.chain(authorities).collect(),
        }
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

impl fmt::Debug for Material<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Material::None => "None",
            Material::Certificate { .. } => "Certificate { .. }",
            Material::Psk { .. } => "Psk { .. }",
        })
    }
}
