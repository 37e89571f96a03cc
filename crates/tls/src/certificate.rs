//! What a certificate says, as OpenSSL reads it.

use std::cmp::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::nid::Nid;
use openssl::x509::X509Ref;

/// The first Common Name of the subject, as Mosquitto's `use_identity_as_username` takes it: UTF-8 without NUL or nothing.
pub(crate) fn common_name(certificate: &X509Ref) -> Option<String> {
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next()?.data().to_string().ok()?;
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}

/// Seconds since 1970.
pub(crate) fn seconds(time: &Asn1TimeRef) -> Option<i64> {
    // Not `from_unix`: on 32-bit ARM its `time_t` is not OpenSSL's.
    let epoch = Asn1Time::from_str("19700101000000Z").ok()?;
    let since = epoch.diff(time).ok()?;
    Some(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

/// The clock in seconds since 1970; 0 where it stands before that.
pub(crate) fn now(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// X.509 v1, which `openssl x509 -req` writes by default before OpenSSL 3.2: no extensions.
pub(crate) fn is_version_1(certificate: &X509Ref) -> bool {
    certificate.version() == 0
}

/// Whether it is signed with its own key, as a root is.
pub(crate) fn is_self_signed(certificate: &X509Ref) -> bool {
    has_signed(certificate, certificate)
}

/// Whether the issuer's name and key are those that the subject was signed by. What else its extensions say of an issuer is
/// for clients to judge.
pub(crate) fn has_signed(issuer: &X509Ref, subject: &X509Ref) -> bool {
    let is_named = issuer.subject_name().try_cmp(subject.issuer_name());
    matches!(is_named, Ok(Ordering::Equal))
        && issuer
            .public_key()
            .is_ok_and(|key| subject.verify(&key).unwrap_or(false))
}

/// Whether the two are one certificate.
pub(crate) fn same(one: &X509Ref, other: &X509Ref) -> bool {
    matches!((one.to_der(), other.to_der()), (Ok(one), Ok(other)) if one == other)
}

/// Signed with MD5 or SHA-1, which no TLS library of today takes from anyone but a root.
pub(crate) fn has_weak_signature(certificate: &X509Ref) -> bool {
    let algorithms = certificate
        .signature_algorithm()
        .object()
        .nid()
        .signature_algorithms();
    algorithms.is_some_and(|one| [Nid::MD5, Nid::SHA1].contains(&one.digest))
}

/// An RSA key below 2048 bits or another of less than 112 bits of strength, which OpenSSL's level 2 refuses.
pub(crate) fn has_weak_key(certificate: &X509Ref) -> bool {
    let key = certificate.public_key();
    key.is_ok_and(|key| key.security_bits() < 112)
}
