//! What can be wrong with certificates and keys, each with its own sentence.

use std::fmt;

use crate::refusal::{date, shown};

/// The field of the form that a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Who signs the clients' certificates.
    CaCertificates,
    /// The broker's certificate.
    Certificate,
    /// Its key.
    PrivateKey,
    /// The name that goes with a pre-shared key.
    PskIdentity,
    /// The pre-shared key.
    PskKey,
}

impl Field {
    /// The field's name in the form.
    pub fn label(self) -> &'static str {
        match self {
            Field::CaCertificates => "CA Certificate(s)",
            Field::Certificate => "Broker Certificate",
            Field::PrivateKey => "Broker Private Key",
            Field::PskIdentity => "PSK Identity",
            Field::PskKey => "Pre-shared Key",
        }
    }

    pub(crate) fn problem(self, fault: Fault) -> Problem {
        Problem { field: self, fault }
    }
}

/// Something wrong, or to be thought about, in one field. Its text is whole sentences that name the field and never hold
/// a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub field: Field,
    /// What.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is there.
    Missing,
    /// No text with BEGIN and END lines.
    NotPem,
    /// A block has no END line.
    CutOff,
    /// An END line has no BEGIN line of its kind.
    EndWithoutBegin,
    /// A block that is no certificate; its label.
    NoCertificate(String),
    /// A private key in a field for certificates.
    KeyAmongCertificates,
    /// The certificate of this number in the field cannot be read.
    DamagedCertificate(usize),
    /// A certificate in the field for the key.
    CertificateInsteadOfKey,
    /// Neither key nor certificate.
    NoKey,
    /// A password protects the key.
    EncryptedKey,
    /// A private key in a format that is not PKCS#8, PKCS#1 or SEC1, such as OpenSSH's.
    OtherKeyFormat,
    /// The key cannot be read.
    DamagedKey,
    /// Neither RSA, nor an elliptic curve of P-256, P-384 and P-521, nor Ed25519.
    OtherKeyKind,
    /// RSA with so few bits that today's signatures do not fit.
    KeyTooSmall(u32),
    /// The key belongs to none of the certificates.
    KeyMismatch,
    /// No CA in the settings signed it, directly or through others, nor does its own root stand with it.
    NotChained,
    /// The broker's own certificate in the field for CAs, and it is no CA. A warning if the CA stands there too.
    OwnCertificateAsAuthority,
    /// Longer than so many bytes.
    TooLong(usize),
    /// A NUL byte, at which OpenSSL's names end.
    Nul,
    /// OpenSSL refuses it, in its own words.
    Library(String),

    /// Warning: has expired. Both in seconds since 1970.
    Expired {
        /// The end of the validity.
        not_after: i64,
        /// The clock.
        now: i64,
    },
    /// Warning: is not valid yet. Both in seconds since 1970.
    NotYetValid {
        /// The beginning of the validity.
        not_before: i64,
        /// The clock.
        now: i64,
    },
    /// Warning: expires within 30 days, in seconds since 1970.
    ExpiresSoon {
        /// The end of the validity.
        not_after: i64,
    },
    /// Warning: no CA in the settings signed it; its own root stands with it.
    OtherAuthority,
    /// Warning: X.509 version 1.
    Version1,
    /// Warning: names no host as today's clients want it.
    NoAlternativeName,
    /// Warning: names nobody at all.
    NoName,
    /// Warning: an RSA key below 2048 bits, or a signature with SHA-1 or MD5.
    Weak,
    /// Warning: a certificate that is not part of the chain.
    NotInChain,
    /// Warning: a pre-shared key of so few bytes.
    ShortKey(usize),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.field.label();
        match &self.fault {
            Fault::Missing => write!(f, "{label} is missing."),
            Fault::NotPem => write!(
                f,
                "{label} is not in PEM format: it must hold a line such as \"-----BEGIN {}-----\"; copy the whole file, its \
                 first and last line included.",
                match self.field {
                    Field::PrivateKey => "PRIVATE KEY",
                    _ => "CERTIFICATE",
                }
            ),
            Fault::CutOff => {
                write!(
                    f,
                    "{label} is cut off: the END line of a block is missing; copy the whole file."
                )
            }
            Fault::EndWithoutBegin => write!(
                f,
                "{label} is damaged: an END line stands without its BEGIN line; copy the whole file."
            ),
            Fault::NoCertificate(what) => {
                let is_request = what.ends_with("CERTIFICATE REQUEST");
                let what = shown(what.as_bytes());
                write!(f, "{label} holds no certificate, but a \"{what}\"")?;
                f.write_str(match is_request {
                    true => ": the CA has to sign it; paste what it makes of it.",
                    false => ".",
                })
            }
            Fault::KeyAmongCertificates => {
                write!(
                    f,
                    "{label} holds a private key; only certificates belong here."
                )
            }
            Fault::DamagedCertificate(number) => {
                write!(
                    f,
                    "{label} is damaged: certificate number {number} cannot be read; copy the whole file."
                )
            }
            Fault::CertificateInsteadOfKey => {
                write!(
                    f,
                    "{label} holds a certificate where its private key belongs."
                )
            }
            Fault::NoKey => write!(f, "{label} holds no private key."),
            Fault::EncryptedKey => write!(
                f,
                "{label} is protected by a password; remove it with \"openssl pkey -in broker.key -out open.key\" \
                 and paste the new file."
            ),
            Fault::OtherKeyFormat => write!(
                f,
                "{label} must be a PKCS#8, PKCS#1 or SEC1 key, such as \"openssl genpkey\" writes."
            ),
            Fault::DamagedKey => write!(
                f,
                "{label} is damaged and cannot be read; copy the whole file."
            ),
            Fault::OtherKeyKind => {
                write!(
                    f,
                    "{label} must be RSA, Ed25519 or on the elliptic curve P-256, P-384 or P-521."
                )
            }
            Fault::KeyTooSmall(bits) => write!(
                f,
                "{label} is RSA with {bits} bits only, too few to sign with; make one with 2048, or on P-256, and a \
                 certificate for it."
            ),
            Fault::KeyMismatch => {
                write!(
                    f,
                    "{label} does not belong to the Broker Certificate; paste the two that were made together."
                )
            }
            Fault::NotChained => write!(
                f,
                "{label} does not chain to any of the CA Certificate(s): none of them has signed it, nor a certificate that \
                 stands with it. Paste the certificate of the CA that signed it into CA Certificate(s) or, if that CA is \
                 not to sign clients' certificates, below the broker's."
            ),
            Fault::OwnCertificateAsAuthority => write!(
                f,
                "{label} holds the broker's own certificate; the certificate of the CA that signs the clients' belongs \
                 here."
            ),
            Fault::TooLong(most) => write!(f, "{label} must not be longer than {most} bytes."),
            Fault::Nul => write!(f, "{label} must not contain a NUL byte."),
            Fault::Library(text) => write!(f, "{label} is refused by OpenSSL: {text}."),
            Fault::Expired { not_after, now } => write!(
                f,
                "{label} expired on {}; by the router's clock it is {}. Clients will refuse it.",
                date(*not_after),
                date(*now)
            ),
            Fault::NotYetValid { not_before, now } => write!(
                f,
                "{label} is valid from {} only; by the router's clock it is {}. Check the router's time.",
                date(*not_before),
                date(*now)
            ),
            Fault::ExpiresSoon { not_after } => {
                write!(f, "{label} expires soon, on {}.", date(*not_after))
            }
            Fault::OtherAuthority => write!(
                f,
                "{label} is not signed by any of the CA Certificate(s), but by a CA whose certificate stands below it: clients \
                 that know the former alone will refuse the broker."
            ),
            Fault::Version1 => write!(
                f,
                "{label} is of the old version 1, which OpenSSL and Mosquitto take, but other clients refuse; \
                 sign it with a file of extensions (-extfile) to get version 3."
            ),
            Fault::NoAlternativeName => write!(
                f,
                "{label} names its host in the Common Name alone, which many clients no longer accept; \
                 add a subjectAltName."
            ),
            Fault::NoName => write!(
                f,
                "{label} names no host: clients that check whom they talk to will refuse it."
            ),
            Fault::Weak => write!(
                f,
                "{label} is too weak for many clients: RSA below 2048 bits, or signed with SHA-1 or MD5."
            ),
            Fault::NotInChain => {
                write!(
                    f,
                    "{label} holds a certificate that did not help to sign the broker's; it is not sent."
                )
            }
            Fault::ShortKey(length) => write!(
                f,
                "{label} has {length} bytes only: it can be guessed from what crosses the network. \
                 \"openssl rand -hex 32\" makes a good one."
            ),
        }
    }
}

impl std::error::Error for Problem {}
