//! Every mistake that people make with certificates and keys has its own sentence.

use std::time::{Duration, UNIX_EPOCH};

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use tls::{Fault, Field, Material, Problem, Report, ServerTls};

use crate::pki::{DAY, Identity, MANUAL, Recipe, large_rsa, now, on_curve, p256, rsa};

/// Certificates and key as they stand in the form.
#[derive(Clone)]
struct Form {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
    ask_client: bool,
}

impl Form {
    /// Nothing is wrong with it.
    fn good() -> Form {
        let ca = Recipe::ca("ca").self_signed();
        let broker = Recipe::new("broker").names(&["broker"]).signed_by(&ca);
        Form::of(&ca, &broker)
    }

    fn of(ca: &Identity, broker: &Identity) -> Form {
        Form {
            ca: ca.pem(),
            certificate: broker.pem(),
            key: broker.key_pem(),
            ask_client: true,
        }
    }

    fn check_at(&self, seconds: i64) -> Report {
        let material = Material::Certificate {
            ca: &self.ca,
            certificate: &self.certificate,
            private_key: &self.key,
            ask_client: self.ask_client,
        };
        let time = UNIX_EPOCH + Duration::from_secs(seconds as u64);
        let report = material.check(time);
        // What is said to be right can be served.
        assert_eq!(ServerTls::new(&material).is_ok(), report.errors.is_empty());
        report
    }

    fn errors(&self) -> Vec<Problem> {
        self.check_at(now()).errors
    }

    fn warnings(&self) -> Vec<Problem> {
        let report = self.check_at(now());
        assert_eq!(report.errors, []);
        report.warnings
    }
}

fn problem(field: Field, fault: Fault) -> Vec<Problem> {
    vec![Problem { field, fault }]
}

#[test]
fn nothing_to_say() {
    assert_eq!(Form::good().check_at(now()), Report::default());
    let material = Material::Psk {
        identity: b"test",
        key: &[1; 32],
    };
    assert_eq!(material.check(UNIX_EPOCH), Report::default());
    assert_eq!(Material::None.check(UNIX_EPOCH), Report::default());
}

#[test]
fn every_format_that_openssl_writes_is_taken() {
    let ca = Recipe::ca("ca").self_signed();
    let rsa = Recipe::new("b").names(&["b"]).key(rsa(2048)).signed_by(&ca);
    let ec = Recipe::new("b").names(&["b"]).signed_by(&ca);
    let edwards = Recipe::new("b")
        .names(&["b"])
        .key(PKey::generate_ed25519().unwrap())
        .signed_by(&ca);
    let p521 = Recipe::new("b")
        .names(&["b"])
        .key(on_curve(Nid::SECP521R1))
        .signed_by(&ca);
    let large = Recipe::new("b").names(&["b"]).key(large_rsa());
    let large = large.signed_by(&ca);
    let sec1 = ec.key.ec_key().unwrap().private_key_to_pem().unwrap();
    let parameters: &[u8] =
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for (identity, key) in [
        (&rsa, rsa.key_pem()),
        (&rsa, rsa.key.rsa().unwrap().private_key_to_pem().unwrap()),
        (&ec, ec.key_pem()),
        (&ec, sec1.clone()),
        (&ec, [parameters, &sec1].concat()),
        (&edwards, edwards.key_pem()),
        (&p521, p521.key_pem()),
        (&large, large.key_pem()),
    ] {
        let form = Form {
            key,
            ..Form::of(&ca, identity)
        };
        let with = |change: &dyn Fn(&str) -> String| {
            let change = |text: &[u8]| change(str::from_utf8(text).unwrap()).into_bytes();
            let form = Form {
                ca: change(&form.ca),
                certificate: change(&form.certificate),
                key: change(&form.key),
                ..form.clone()
            };
            assert_eq!(form.check_at(now()), Report::default());
        };
        with(&|text| text.to_string());
        with(&|text| text.replace('\n', "\r\n"));
        with(&|text| format!("Certificate:\n    Data:\n{text}\nend\n"));
        with(&|text| text.replace('\n', " \n  "));
        with(&|text| text.trim_end().to_string());
    }
}

#[test]
fn missing() {
    let mut form = Form::good();
    form.ca = b" \r\n".to_vec();
    assert_eq!(
        form.errors(),
        problem(Field::CaCertificates, Fault::Missing)
    );
    form.ask_client = false;
    assert_eq!(form.errors(), []);
    form.certificate.clear();
    form.key.clear();
    let mut both = problem(Field::Certificate, Fault::Missing);
    both.extend(problem(Field::PrivateKey, Fault::Missing));
    assert_eq!(form.errors(), both);
}

#[test]
fn what_is_no_certificate() {
    let good = Form::good();
    let other = rsa(2048);
    let public = other.public_key_to_pem().unwrap();
    let mut broken = good.certificate.clone();
    broken[100] = if broken[100] == b'A' { b'B' } else { b'A' };
    let end = b"-----END CERTIFICATE-----\n".len();
    let request = MANUAL["broker.csr"].clone();
    let mut shortened = good.certificate.clone();
    shortened.drain(100..200);
    for (text, fault) in [
        (b"MIIB".to_vec(), Fault::NotPem),
        (b"\xff\xfe\x00".to_vec(), Fault::NotPem),
        (
            good.certificate[..good.certificate.len() - end].to_vec(),
            Fault::CutOff,
        ),
        (good.certificate[28..].to_vec(), Fault::EndWithoutBegin),
        (request, Fault::NoCertificate("CERTIFICATE REQUEST".into())),
        (good.key.clone(), Fault::KeyAmongCertificates),
        (public, Fault::NoCertificate("PUBLIC KEY".into())),
        (
            [&good.certificate[..], &good.key].concat(),
            Fault::KeyAmongCertificates,
        ),
        (shortened.clone(), Fault::DamagedCertificate(1)),
        (
            [&good.certificate[..], &shortened].concat(),
            Fault::DamagedCertificate(2),
        ),
    ] {
        let form = Form {
            certificate: text.clone(),
            ..good.clone()
        };
        assert_eq!(form.errors(), problem(Field::Certificate, fault.clone()));
        let form = Form {
            ca: text,
            ..good.clone()
        };
        assert_eq!(form.errors(), problem(Field::CaCertificates, fault));
    }
    // A wrong letter makes another certificate, with another key or a wrong signature, or none.
    let form = Form {
        certificate: broken,
        ..good
    };
    assert!(!form.check_at(now()).errors.is_empty() || !form.warnings().is_empty());
}

#[test]
fn what_is_no_key() {
    let good = Form::good();
    let key = rsa(2048);
    let pkcs8 = key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret")
        .unwrap();
    let old = key.rsa().unwrap();
    let old = old
        .private_key_to_pem_passphrase(Cipher::des_ede3_cbc(), b"secret")
        .unwrap();
    let openssh =
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n";
    let mut cut = good.key.clone();
    cut.drain(60..70);
    let dsa = openssl::dsa::Dsa::generate(1024).unwrap();
    let other_curve = on_curve(Nid::SECP256K1);
    for (text, fault) in [
        (b"MIIB".to_vec(), Fault::NotPem),
        (good.key[..good.key.len() - 10].to_vec(), Fault::CutOff),
        (pkcs8, Fault::EncryptedKey),
        (old, Fault::EncryptedKey),
        (openssh.to_vec(), Fault::OtherKeyFormat),
        (good.certificate.clone(), Fault::CertificateInsteadOfKey),
        (key.public_key_to_pem().unwrap(), Fault::NoKey),
        (cut, Fault::DamagedKey),
        (
            PKey::from_dsa(dsa)
                .unwrap()
                .private_key_to_pem_pkcs8()
                .unwrap(),
            Fault::OtherKeyKind,
        ),
        (
            other_curve.private_key_to_pem_pkcs8().unwrap(),
            Fault::OtherKeyKind,
        ),
        (
            rsa(768).private_key_to_pem_pkcs8().unwrap(),
            Fault::KeyTooSmall(768),
        ),
        (key.private_key_to_pem_pkcs8().unwrap(), Fault::KeyMismatch),
        (
            p256().private_key_to_pem_pkcs8().unwrap(),
            Fault::KeyMismatch,
        ),
    ] {
        let form = Form {
            key: text,
            ..good.clone()
        };
        let errors = form.errors();
        assert_eq!(errors, problem(Field::PrivateKey, fault));
        assert!(errors[0].to_string().starts_with("Broker Private Key "));
    }
}

#[test]
fn all_errors_at_once() {
    let form = Form {
        ca: b"x".to_vec(),
        certificate: b"x".to_vec(),
        key: b"x".to_vec(),
        ask_client: true,
    };
    let fields: Vec<_> = form.errors().iter().map(|one| one.field).collect();
    assert_eq!(
        fields,
        [Field::CaCertificates, Field::Certificate, Field::PrivateKey]
    );
}

#[test]
fn a_key_that_does_not_fit_is_said_beside_a_damaged_ca() {
    let form = Form {
        ca: b"x".to_vec(),
        key: p256().private_key_to_pem_pkcs8().unwrap(),
        ..Form::good()
    };
    let mut both = problem(Field::CaCertificates, Fault::NotPem);
    both.extend(problem(Field::PrivateKey, Fault::KeyMismatch));
    assert_eq!(form.errors(), both);
}

#[test]
fn dates_are_warnings_that_show_the_clock() {
    let ca = Recipe::ca("ca")
        .valid(now() - 900 * DAY, now() + 900 * DAY)
        .self_signed();
    let broker = Recipe::new("b")
        .names(&["b"])
        .valid(now() - 100 * DAY, now() + 100 * DAY);
    let (from, to) = (now() - 100 * DAY, now() + 100 * DAY);
    let form = Form::of(&ca, &broker.signed_by(&ca));
    let warned = |seconds: i64| form.check_at(seconds).warnings;
    assert_eq!(warned(now()), []);
    assert!(
        matches!(warned(to - 29 * DAY)[..], [Problem { fault: Fault::ExpiresSoon { not_after }, .. }] if (not_after - to).abs() < 60)
    );
    let [expired] = &warned(to + DAY)[..] else {
        panic!()
    };
    assert!(
        expired
            .to_string()
            .starts_with("Broker Certificate expired on "),
        "{expired}"
    );
    let [early] = &warned(from - DAY)[..] else {
        panic!()
    };
    assert!(early.to_string().contains("valid from"), "{early}");
    // A router that has just booted.
    let both = warned(90);
    assert_eq!(both.len(), 2);
    assert!(
        both[0]
            .to_string()
            .contains("it is Jan  1 00:01:30 1970 GMT. Check the router's time."),
        "{}",
        both[0]
    );
    assert_eq!(both[1].field, Field::CaCertificates);
}

#[test]
fn what_the_manual_makes_is_warned_about_alone() {
    let form = Form {
        ca: MANUAL["ca.crt"].clone(),
        certificate: MANUAL["broker.crt"].clone(),
        key: MANUAL["broker.key"].clone(),
        ask_client: true,
    };
    let faults: Vec<_> = form.warnings().into_iter().map(|one| one.fault).collect();
    // OpenSSL from 3.2 on makes version 3 of the same command.
    let faults: Vec<_> = faults
        .into_iter()
        .filter(|one| *one != Fault::Version1)
        .collect();
    assert_eq!(faults, [Fault::NoAlternativeName]);
}

#[test]
fn likely_slips() {
    let ca = Recipe::ca("ca").self_signed();
    let other = Recipe::ca("other").self_signed();
    let broker = Recipe::new("b").names(&["b"]).signed_by(&ca);
    let form = Form::of(&ca, &broker);
    let warned = |form: &Form| form.warnings();
    let v1 = Recipe::new("b").version_1().signed_by(&ca);
    let faults: Vec<_> = warned(&Form::of(&ca, &v1))
        .into_iter()
        .map(|one| one.fault)
        .collect();
    assert_eq!(faults, [Fault::Version1, Fault::NoAlternativeName]);
    let nameless = Recipe::new("").signed_by(&ca);
    assert_eq!(
        warned(&Form::of(&ca, &nameless)),
        problem(Field::Certificate, Fault::NoName)
    );
    for weak in [
        Recipe::new("b").names(&["b"]).key(rsa(1024)),
        Recipe::new("b").names(&["b"]).digest(MessageDigest::sha1()),
    ] {
        let form = Form::of(&ca, &weak.signed_by(&ca));
        assert_eq!(warned(&form), problem(Field::Certificate, Fault::Weak));
    }
    let idle = Form {
        certificate: [broker.pem(), Recipe::new("x").signed_by(&other).pem()].concat(),
        ..form
    };
    assert_eq!(
        warned(&idle),
        problem(Field::Certificate, Fault::NotInChain)
    );
}

#[test]
fn a_certificate_that_does_not_chain_to_the_ca() {
    let ca = Recipe::ca("ca").self_signed();
    let other = Recipe::ca("other").self_signed();
    let broker = Recipe::new("b").names(&["b"]).signed_by(&ca);
    let not_chained = problem(Field::Certificate, Fault::NotChained);
    for wrong in [
        // The same name is not the same CA.
        Recipe::ca("ca").self_signed(),
        Recipe::new("ca").self_signed(),
        other,
    ] {
        let mut form = Form::of(&wrong, &broker);
        assert_eq!(form.errors(), not_chained);
        // Not even where clients are not asked; then the field may be empty.
        form.ask_client = false;
        assert_eq!(form.errors(), not_chained);
        form.ca.clear();
        assert_eq!(form.errors(), []);
        // Said beside what is wrong with the key.
        form.ca = wrong.pem();
        form.key = p256().private_key_to_pem_pkcs8().unwrap();
        let both = [
            &not_chained[..],
            &problem(Field::PrivateKey, Fault::KeyMismatch),
        ]
        .concat();
        assert_eq!(form.errors(), both);
        // Its own root with it says that another CA is meant for clients.
        let form = Form {
            certificate: [broker.pem(), ca.pem()].concat(),
            ..Form::of(&wrong, &broker)
        };
        assert_eq!(
            form.warnings(),
            problem(Field::Certificate, Fault::OtherAuthority)
        );
    }
    // A link of the chain is missing.
    let between = Recipe::ca("between").signed_by(&ca);
    let broker = Recipe::new("b").names(&["b"]).signed_by(&between);
    assert_eq!(Form::of(&ca, &broker).errors(), not_chained);
    // The broker's own certificate where the CA's belongs.
    let mistaken = problem(Field::CaCertificates, Fault::OwnCertificateAsAuthority);
    let mut form = Form::of(&broker, &broker);
    assert_eq!(form.errors(), mistaken);
    form.ca.extend(between.pem());
    assert_eq!(form.warnings(), mistaken);
}

#[test]
fn every_chain_that_leads_to_the_ca() {
    let nothing = |form: Form| {
        assert_eq!(form.warnings(), []);
        // A router that has just booted, and one in a hundred years.
        for time in [0, now() + 36_500 * DAY] {
            assert_eq!(form.check_at(time).errors, []);
        }
    };
    let root = Recipe::ca("root").self_signed();
    let upper = Recipe::ca("upper").signed_by(&root);
    let lower = Recipe::ca("lower").signed_by(&upper);
    let broker = Recipe::new("b").names(&["b"]).signed_by(&lower);
    let all = [&root, &upper, &lower];
    let pem = |which: &[&Identity]| which.iter().flat_map(|one| one.pem()).collect::<Vec<_>>();
    // Each may stand in either field, and the CA may be any of them.
    for place in 0..8 {
        let (mut ca, mut own): (Vec<&Identity>, Vec<&Identity>) = (vec![], vec![&broker]);
        for (number, &one) in all.iter().enumerate() {
            match place >> number & 1 {
                0 => ca.push(one),
                _ => own.insert(0, one),
            }
        }
        if ca.is_empty() {
            continue;
        }
        let form = Form {
            ca: pem(&ca),
            certificate: pem(&own),
            ..Form::of(&root, &broker)
        };
        nothing(form);
    }
    nothing(Form::of(&lower, &broker));
    // Its own CA, whether it may sign others or not.
    let own = Recipe::new("b").names(&["b"]).self_signed();
    nothing(Form::of(&own, &own));
    // A CA of version 1, and among others that have the same name.
    let old = Recipe::ca("ca").version_1().self_signed();
    let twin = Recipe::ca("ca").self_signed();
    let broker = Recipe::new("b").names(&["b"]).signed_by(&old);
    nothing(Form::of(&old, &broker));
    let form = Form {
        ca: pem(&[&twin, &old, &root]),
        ..Form::of(&old, &broker)
    };
    nothing(form);
}

#[test]
fn a_cross_signed_ca_leads_to_whichever_root_is_there() {
    let (old, new) = (
        Recipe::ca("old").self_signed(),
        Recipe::ca("new").self_signed(),
    );
    // The same CA, signed by two others; and the new root signed by the old one.
    let key = p256();
    let signed = |root: &Identity| Recipe::ca("ca").key(key.clone()).signed_by(root);
    let (by_old, by_new) = (signed(&old), signed(&new));
    let bridge = Recipe::ca("new").key(new.key.clone()).signed_by(&old);
    let broker = Recipe::new("b").names(&["b"]).signed_by(&by_old);
    for (ca, others, idle) in [
        (&old, vec![&by_old, &by_new], true),
        (&old, vec![&by_new, &by_old], true),
        (&new, vec![&by_old, &by_new], true),
        (&new, vec![&by_new], false),
        (&old, vec![&by_new, &bridge], false),
        (&new, vec![&by_new, &bridge], false),
    ] {
        let mut form = Form::of(ca, &broker);
        for one in others {
            form.certificate.extend(one.pem());
        }
        let expected = match idle {
            true => problem(Field::Certificate, Fault::NotInChain),
            false => vec![],
        };
        assert_eq!(form.warnings(), expected);
    }
    let form = Form {
        certificate: [broker.pem(), by_new.pem()].concat(),
        ..Form::of(&old, &broker)
    };
    assert_eq!(
        form.errors(),
        problem(Field::Certificate, Fault::NotChained)
    );
}

#[test]
fn pre_shared_keys() {
    let errors = |identity: &[u8], key: &[u8]| {
        let material = Material::Psk { identity, key };
        let errors = material.check(UNIX_EPOCH).errors;
        assert_eq!(ServerTls::new(&material).is_ok(), errors.is_empty());
        errors
    };
    assert_eq!(
        errors(b"", &[1; 32]),
        problem(Field::PskIdentity, Fault::Missing)
    );
    assert_eq!(errors(b"test", b""), problem(Field::PskKey, Fault::Missing));
    assert_eq!(
        errors(&[b'x'; 257], &[1; 32]),
        problem(Field::PskIdentity, Fault::TooLong(256))
    );
    assert_eq!(
        errors(b"test", &[1; 513]),
        problem(Field::PskKey, Fault::TooLong(512))
    );
    assert_eq!(
        errors(b"a\0b", &[1; 32]),
        problem(Field::PskIdentity, Fault::Nul)
    );
    let short = Material::Psk {
        identity: b"hint",
        key: &[0xba, 0xd1, 0x23],
    };
    let report = short.check(UNIX_EPOCH);
    assert_eq!(report.warnings, problem(Field::PskKey, Fault::ShortKey(3)));
    assert!(report.errors.is_empty() && !format!("{short:?}").contains("186"));
}

#[test]
fn every_sentence_is_whole() {
    for field in [
        Field::CaCertificates,
        Field::Certificate,
        Field::PrivateKey,
        Field::PskIdentity,
        Field::PskKey,
    ] {
        for fault in [
            Fault::Missing,
            Fault::NotPem,
            Fault::CutOff,
            Fault::EncryptedKey,
            Fault::KeyMismatch,
            Fault::NotPem,
            Fault::NotChained,
            Fault::OtherAuthority,
            Fault::NoCertificate("CERTIFICATE REQUEST".into()),
            Fault::NoCertificate("x".into()),
            Fault::Library("x".into()),
        ] {
            let text = Problem { field, fault }.to_string();
            assert!(
                text.starts_with(field.label()) && text.ends_with('.'),
                "{text}"
            );
        }
    }
}
