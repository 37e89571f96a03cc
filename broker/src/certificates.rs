//! The settings' certificates and keys as `tls` takes them, and what it says of them in the settings' words.

use std::time::SystemTime;

use settings::{Authentication, Problem, Settings, Tls, Values};
use tls::{Fault, Field, Material, ServerTls};

/// The server's side of TLS that these settings ask for.
///
/// # Errors
/// All that is wrong with certificates and keys.
pub(crate) fn server(settings: &Settings) -> Result<ServerTls, Vec<Problem>> {
    ServerTls::new(&material(settings)).map_err(|problems| problems.iter().map(problem).collect())
}

/// What is wrong with certificates and keys, then what is to be warned of at this time of the clock.
pub(crate) fn check(settings: &Settings) -> (Vec<Problem>, Vec<Problem>) {
    let report = material(settings).check(SystemTime::now());
    let warnings = report.warnings.iter();
    (
        report.errors.iter().map(problem).collect(),
        // That a key is short is said by the settings already.
        warnings
            .filter(|one| !matches!(one.fault, Fault::ShortKey(_)))
            .map(problem)
            .collect(),
    )
}

/// What is to be warned of at this time of the clock.
pub(crate) fn warnings(settings: &Settings) -> Vec<Problem> {
    check(settings).1
}

/// What is wrong with certificates and keys in values of which no settings come, for whatever reason. Pre-shared keys are
/// judged by the settings to the end.
pub(crate) fn errors(values: &Values) -> Vec<Problem> {
    if values.get("TLS") != b"certificate" {
        return Vec::new();
    }
    let material = Material::Certificate {
        ca: values.get("CA_CERTIFICATES"),
        certificate: values.get("CERTIFICATE"),
        private_key: values.get("PRIVATE_KEY"),
        ask_client: values.get("AUTHENTICATION") == b"certificate_cn",
    };
    let report = material.check(SystemTime::now());
    report.errors.iter().map(problem).collect()
}

fn material(settings: &Settings) -> Material<'_> {
    match &settings.tls {
        Tls::None => Material::None,
        Tls::Psk { identity, key } => Material::Psk {
            identity: identity.as_bytes(),
            key: key.as_bytes(),
        },
        Tls::Certificate {
            ca,
            certificate,
            private_key,
        } => Material::Certificate {
            ca: ca.as_bytes(),
            certificate: certificate.as_bytes(),
            private_key: private_key.as_bytes(),
            ask_client: asks_clients(settings),
        },
    }
}

/// Whether clients must show a certificate of the CA.
fn asks_clients(settings: &Settings) -> bool {
    matches!(
        settings.authentication,
        Authentication::CertificateCn { .. }
    )
}

/// Whether what [`server`] makes of both is the same.
pub(crate) fn is_same_server(one: &Settings, other: &Settings) -> bool {
    one.tls == other.tls && asks_clients(one) == asks_clients(other)
}

/// Whether connections that were made under the settings before may stay under these: not where they are protected in
/// another way, or were let in by a key or a CA that is no longer the one. A new certificate of the broker's ends nobody;
/// whether a client's name is still the right one, the engine knows.
pub(crate) fn allows_connections_of(settings: &Settings, before: &Settings) -> bool {
    match (&settings.tls, &before.tls) {
        (Tls::Certificate { ca, .. }, Tls::Certificate { ca: old, .. }) => {
            !asks_clients(settings) || ca == old
        }
        (new, old) => new == old,
    }
}

fn problem(problem: &tls::Problem) -> Problem {
    let key = match problem.field {
        Field::CaCertificates => "CA_CERTIFICATES",
        Field::Certificate => "CERTIFICATE",
        Field::PrivateKey => "PRIVATE_KEY",
        Field::PskIdentity => "PSK_IDENTITY",
        Field::PskKey => "PSK_KEY",
    };
    Problem::of(key, problem.to_string())
}
