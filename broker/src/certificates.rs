//! The settings' certificates and keys as `tls` takes them, and what it says of them in the settings' words.

use std::time::SystemTime;

use settings::{Authentication, Problem, Settings, Tls, Values};
use tls::{Fault, Field, Material, Remarks, ServerTls};

/// The server's side of TLS that settings ask for.
#[derive(Debug)]
pub(crate) struct Protection {
    pub(crate) tls: ServerTls,
    pub(crate) warnings: Warnings,
}

/// What is to be warned of. It is made once, for reading certificates takes time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Remarks);

impl Protection {
    /// Reads certificates and keys.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn new(settings: &Settings) -> Result<Protection, Vec<Problem>> {
        // Of a broker that is switched off nothing is needed.
        if !settings.enabled {
            return Ok(Protection {
                tls: ServerTls::None,
                warnings: Warnings::default(),
            });
        }
        let material = material(settings);
        let of = |found: Vec<tls::Problem>| found.iter().map(problem).collect::<Vec<_>>();
        Ok(Protection {
            tls: ServerTls::new(&material).map_err(of)?,
            warnings: Warnings(material.judge().map_err(of)?),
        })
    }
}

impl Warnings {
    /// All of them at this time of the clock.
    pub(crate) fn now(&self) -> Vec<Problem> {
        let remarks = self.0.at(SystemTime::now());
        // That a key is short is said by the settings already.
        let remarks = remarks
            .iter()
            .filter(|one| !matches!(one.fault, Fault::ShortKey(_)));
        remarks.map(problem).collect()
    }
}

/// What is wrong with certificates and keys, then what is to be warned of; like the settings themselves, these say nothing
/// unwise of a broker that is switched off.
pub(crate) fn check(settings: &Settings) -> (Vec<Problem>, Vec<Problem>) {
    match material(settings).judge() {
        Ok(remarks) if settings.enabled => (Vec::new(), Warnings(remarks).now()),
        Ok(_) => (Vec::new(), Vec::new()),
        Err(errors) => (errors.iter().map(problem).collect(), Vec::new()),
    }
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
    let errors = material.judge().err().unwrap_or_default();
    errors.iter().map(problem).collect()
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
