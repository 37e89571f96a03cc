//! Certificates made at test time: by the manual's own commands, and of today's kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, BigNumContext, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Name, X509NameRef};

/// The files that the manual's recipes make (3.3.1, 3.3.2), by name.
pub(crate) static MANUAL: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    // The CA's subject is what answering every question with Enter gives.
    let recipes = "\
        genpkey -algorithm RSA -out ca.key
        req -new -x509 -days 1826 -key ca.key -out ca.crt -subj /C=AU/ST=Some-State/O=Internet^Widgits^Pty^Ltd
        genpkey -algorithm RSA -out broker.key
        req -new -out broker.csr -key broker.key -subj /CN=localhost
        x509 -req -in broker.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out broker.crt -days 360
        genpkey -algorithm RSA -out client.key
        req -new -out client.csr -key client.key -subj /CN=Data^collector
        x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out client.crt -days 360";
    for recipe in recipes.lines() {
        let words = recipe.split_whitespace().map(|word| word.replace('^', " "));
        let done = Command::new("openssl")
            .args(words)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{recipe}: {done:?}");
    }
    let files = std::fs::read_dir(directory.path()).unwrap();
    let read = |path: &Path| std::fs::read(path).unwrap();
    files
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), read(&file.path())))
        .collect()
});

/// Puts files into a directory that goes away with the test.
pub(crate) fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

pub(crate) const DAY: i64 = 86_400;

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

impl Identity {
    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub(crate) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }
}

/// How a certificate is to be.
pub(crate) struct Recipe {
    subject: String,
    key: PKey<Private>,
    version_1: bool,
    is_ca: bool,
    names: Vec<String>,
    purpose: Option<&'static str>,
    from: i64,
    to: i64,
    digest: Option<MessageDigest>,
}

pub(crate) fn p256() -> PKey<Private> {
    on_curve(Nid::X9_62_PRIME256V1)
}

pub(crate) fn on_curve(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(crate) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// RSA with 4484 bits, which ring does not sign with. Two Mersenne primes save the search for others; a secret it is not.
pub(crate) fn large_rsa() -> PKey<Private> {
    let number = || BigNum::new().unwrap();
    let one = BigNum::from_u32(1).unwrap();
    let mersenne = |exponent| {
        let mut prime = number();
        prime.lshift(&one, exponent).unwrap();
        prime.sub_word(1).unwrap();
        prime
    };
    let (p, q) = (mersenne(2281), mersenne(2203));
    let mut context = BigNumContext::new().unwrap();
    let minus_one = |prime: &BigNum| &**prime - &*one;
    let (p1, q1) = (minus_one(&p), minus_one(&q));
    let e = BigNum::from_u32(65_537).unwrap();
    let (mut d, mut dp, mut dq, mut qi) = (number(), number(), number(), number());
    d.mod_inverse(&e, &(&p1 * &q1), &mut context).unwrap();
    dp.nnmod(&d, &p1, &mut context).unwrap();
    dq.nnmod(&d, &q1, &mut context).unwrap();
    qi.mod_inverse(&q, &p, &mut context).unwrap();
    let rsa = Rsa::from_private_components(&p * &q, e, d, p, q, dp, dq, qi).unwrap();
    PKey::from_rsa(rsa).unwrap()
}

impl Recipe {
    pub(crate) fn new(subject: &str) -> Recipe {
        Recipe {
            subject: subject.to_string(),
            key: p256(),
            version_1: false,
            is_ca: false,
            names: Vec::new(),
            purpose: None,
            from: now() - DAY,
            to: now() + 365 * DAY,
            digest: None,
        }
    }

    /// A CA's, or an intermediate's.
    pub(crate) fn ca(subject: &str) -> Recipe {
        Recipe {
            is_ca: true,
            ..Recipe::new(subject)
        }
    }

    pub(crate) fn key(self, key: PKey<Private>) -> Recipe {
        Recipe { key, ..self }
    }

    pub(crate) fn version_1(self) -> Recipe {
        Recipe {
            version_1: true,
            ..self
        }
    }

    pub(crate) fn names(self, names: &[&str]) -> Recipe {
        let names = names.iter().map(ToString::to_string).collect();
        Recipe { names, ..self }
    }

    pub(crate) fn purpose(self, purpose: &'static str) -> Recipe {
        Recipe {
            purpose: Some(purpose),
            ..self
        }
    }

    pub(crate) fn valid(self, from: i64, to: i64) -> Recipe {
        Recipe { from, to, ..self }
    }

    pub(crate) fn digest(self, digest: MessageDigest) -> Recipe {
        Recipe {
            digest: Some(digest),
            ..self
        }
    }

    pub(crate) fn self_signed(self) -> Identity {
        let key = self.key.clone();
        let name = name(&self.subject);
        self.build(&name, &key)
    }

    pub(crate) fn signed_by(self, issuer: &Identity) -> Identity {
        self.build(issuer.certificate.subject_name(), &issuer.key)
    }

    fn build(self, issuer: &X509NameRef, issuer_key: &PKey<Private>) -> Identity {
        let mut builder = X509::builder().unwrap();
        let mut serial = BigNum::new().unwrap();
        serial.rand(100, MsbOption::MAYBE_ZERO, false).unwrap();
        builder
            .set_serial_number(&serial.to_asn1_integer().unwrap())
            .unwrap();
        builder
            .set_version(if self.version_1 { 0 } else { 2 })
            .unwrap();
        builder.set_subject_name(&name(&self.subject)).unwrap();
        builder.set_issuer_name(issuer).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        let time = |seconds| Asn1Time::from_unix(seconds).unwrap();
        builder.set_not_before(&time(self.from)).unwrap();
        builder.set_not_after(&time(self.to)).unwrap();
        if self.is_ca {
            let constraint = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(constraint).unwrap();
        }
        if !self.names.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for one in &self.names {
                match one.parse::<std::net::IpAddr>() {
                    Ok(_) => names.ip(one),
                    Err(_) => names.dns(one),
                };
            }
            let names = names.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(names).unwrap();
        }
        if let Some(purpose) = self.purpose {
            let usage = ExtendedKeyUsage::new().other(purpose).build().unwrap();
            builder.append_extension(usage).unwrap();
        }
        let digest = match issuer_key.id() {
            Id::ED25519 => MessageDigest::null(),
            _ => self.digest.unwrap_or_else(MessageDigest::sha256),
        };
        builder.sign(issuer_key, digest).unwrap();
        Identity {
            certificate: builder.build(),
            key: self.key,
        }
    }
}

fn name(common_name: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    if !common_name.is_empty() {
        name.append_entry_by_nid(Nid::COMMONNAME, common_name)
            .unwrap();
    }
    name.build()
}
