//! What `--check` says of certificates and keys: every mistake its own sentence beside its own field, all at once.
#![forbid(unsafe_code)]
// What the tests share is theirs, though it lies outside of them.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use openssl::symm::Cipher;
use settings::Values;

// Each test program that shares it needs another part of it.
#[allow(dead_code)]
#[path = "../../crates/tls/tests/tls/pki.rs"]
mod pki;

use pki::{DAY, Identity, MANUAL, Recipe, now, p256, rsa};

/// Keys and messages.
type Said = Vec<(String, String)>;

/// The broker's errors and warnings about a form filled in like this.
fn check(form: &[(&str, &[u8])]) -> (Said, Said) {
    let mut values = Values::defaults();
    for (key, value) in form {
        values.set(key, value.to_vec());
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_mqtt_broker"))
        .args(["--check", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&values.to_file()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = |kind: &str| -> Said {
        let text = |part: &serde_json::Value| part.as_str().unwrap_or_default().to_owned();
        let findings = verdict[kind].as_array().unwrap().iter();
        findings
            .map(|finding| (text(&finding["key"]), text(&finding["message"])))
            .collect()
    };
    let (errors, warnings) = (said("errors"), said("warnings"));
    assert_eq!(output.status.code(), Some(i32::from(!errors.is_empty())));
    (errors, warnings)
}

fn errors(form: &[(&str, &[u8])]) -> Said {
    check(form).0
}

fn warnings(form: &[(&str, &[u8])]) -> Said {
    let (errors, warnings) = check(form);
    assert_eq!(errors, []);
    warnings
}

/// That these fields are complained of, in this order, once each, with these words.
fn assert_said(said: &Said, expected: &[(&str, &str)]) {
    let keys: Vec<&str> = said.iter().map(|(key, _)| key.as_str()).collect();
    let wanted: Vec<&str> = expected.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, wanted, "{said:?}");
    for ((_, message), (_, words)) in said.iter().zip(expected) {
        assert!(message.contains(words), "{words:?} is not in {message:?}");
        assert!(message.ends_with('.'), "{message}");
    }
}

fn ca() -> Identity {
    Recipe::ca("ca").self_signed()
}

fn broker(ca: &Identity) -> Identity {
    Recipe::new("broker").names(&["broker"]).signed_by(ca)
}

/// The manual's example 2, with what stands in the three fields for certificates.
fn certificate_cn<'a>(
    ca: &'a [u8],
    certificate: &'a [u8],
    key: &'a [u8],
) -> Vec<(&'a str, &'a [u8])> {
    vec![
        ("ENABLED", b"1"),
        ("TLS", b"certificate"),
        ("CA_CERTIFICATES", ca),
        ("CERTIFICATE", certificate),
        ("PRIVATE_KEY", key),
        ("AUTHENTICATION", b"certificate_cn"),
        ("USERNAME", b"Data collector"),
    ]
}

#[test]
fn nothing_to_say() {
    let ca = ca();
    let broker = broker(&ca);
    let form = [ca.pem(), broker.pem(), broker.key_pem()];
    assert_eq!(
        check(&certificate_cn(&form[0], &form[1], &form[2])),
        Default::default()
    );
}

#[test]
fn every_mistake_beside_its_field() {
    let authority = ca();
    let identity = broker(&authority);
    let (ca, certificate, key) = (authority.pem(), identity.pem(), identity.key_pem());
    let encrypted = identity
        .key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret")
        .unwrap();
    let old = rsa(2048).rsa().unwrap();
    let old = old
        .private_key_to_pem_passphrase(Cipher::aes_256_cbc(), b"secret")
        .unwrap();
    let other_key = p256().private_key_to_pem_pkcs8().unwrap();
    let other_ca = Recipe::ca("ca").self_signed().pem();
    let mut damaged_certificate = certificate.clone();
    damaged_certificate.drain(100..200);
    let mut damaged_key = key.clone();
    damaged_key.drain(60..70);
    let cut = |text: &[u8]| text[..text.len() - 10].to_vec();
    let openssh =
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n";
    let cases: &[(&str, &[u8], &str)] = &[
        ("CA_CERTIFICATES", b"", "is missing: for Certificate CN"),
        ("CA_CERTIFICATES", b"\n", "is missing: for Certificate CN"),
        ("CA_CERTIFICATES", b"MIIB", "is not in PEM format"),
        ("CA_CERTIFICATES", &key, "holds a private key"),
        ("CA_CERTIFICATES", &cut(&ca), "is cut off"),
        (
            "CA_CERTIFICATES",
            &damaged_certificate,
            "certificate number 1 cannot be read",
        ),
        (
            "CA_CERTIFICATES",
            &certificate,
            "holds the broker's own certificate",
        ),
        ("CERTIFICATE", b"", "is missing"),
        ("CERTIFICATE", b"MIIB", "is not in PEM format"),
        (
            "CERTIFICATE",
            &MANUAL["broker.csr"],
            "the CA has to sign it",
        ),
        ("CERTIFICATE", &cut(&certificate), "is cut off"),
        (
            "CERTIFICATE",
            &damaged_certificate,
            "certificate number 1 cannot be read",
        ),
        ("PRIVATE_KEY", b"", "is missing"),
        ("PRIVATE_KEY", b"MIIB", "is not in PEM format"),
        (
            "PRIVATE_KEY",
            &certificate,
            "holds a certificate where its private key belongs",
        ),
        ("PRIVATE_KEY", &encrypted, "is protected by a password"),
        ("PRIVATE_KEY", &old, "is protected by a password"),
        (
            "PRIVATE_KEY",
            openssh,
            "must be a PKCS#8, PKCS#1 or SEC1 key",
        ),
        ("PRIVATE_KEY", &cut(&key), "is cut off"),
        ("PRIVATE_KEY", &damaged_key, "is damaged and cannot be read"),
        (
            "PRIVATE_KEY",
            &other_key,
            "does not belong to the Broker Certificate",
        ),
    ];
    let good = certificate_cn(&ca, &certificate, &key);
    for &(key, value, words) in cases {
        let mut form = good.clone();
        form.push((key, value));
        assert_said(&errors(&form), &[(key, words)]);
        // Apply stores nothing that is wrong, be it switched off.
        form.push(("ENABLED", b"0"));
        assert_said(&errors(&form), &[(key, words)]);
    }
    let mut form = good.clone();
    form.push(("CA_CERTIFICATES", &other_ca));
    let said = "does not chain to any of the CA Certificate(s)";
    assert_said(&errors(&form), &[("CERTIFICATE", said)]);
    form.push(("AUTHENTICATION", b"none"));
    assert_said(&errors(&form), &[("CERTIFICATE", said)]);
    form.push(("CA_CERTIFICATES", b""));
    assert_said(&errors(&form), &[]);
}

#[test]
fn pre_shared_keys() {
    let psk = |identity: &'static [u8], key: &'static [u8]| -> [(&str, &[u8]); 4] {
        [
            ("ENABLED", b"1"),
            ("TLS", b"psk"),
            ("PSK_IDENTITY", identity),
            ("PSK_KEY", key),
        ]
    };
    let good = b"7956a812b2c52b6411abd871a6e5ea0b";
    assert_eq!(check(&psk(b"test", good)), Default::default());
    for (identity, key, expected) in [
        (&b""[..], &good[..], ("PSK_IDENTITY", "is missing")),
        (b"test", b"", ("PSK_KEY", "is missing")),
        (
            b"test",
            b"7956a",
            ("PSK_KEY", "must have an even number of hexadecimal digits"),
        ),
        (
            b"test",
            b"795x",
            ("PSK_KEY", "the character at position 4 is none"),
        ),
    ] {
        assert_said(&errors(&psk(identity, key)), &[expected]);
    }
    assert_said(
        &warnings(&psk(b"test", b"bad123")),
        &[("PSK_KEY", "is short and can be guessed")],
    );
}

#[test]
fn mistakes_of_all_kinds_are_said_at_once() {
    let ca = ca();
    let broker = broker(&ca);
    let other_key = p256().private_key_to_pem_pkcs8().unwrap();
    let (ca, certificate) = (ca.pem(), broker.pem());
    // The form's own rules and what takes cryptography to know.
    let mut form = certificate_cn(&ca, &certificate, &other_key);
    form.extend([("PORT", &b"0"[..]), ("USERNAME", b"")]);
    assert_said(
        &errors(&form),
        &[
            ("PORT", "must be a whole number"),
            ("PRIVATE_KEY", "does not belong to the Broker Certificate"),
            ("USERNAME", "is missing"),
        ],
    );
    // One sentence for each field, though both judges see the first two of these.
    let mut damaged = certificate.clone();
    damaged.drain(100..200);
    let mut form = certificate_cn(b"x", &damaged, &certificate);
    form.push(("PORT", b"70000"));
    assert_said(
        &errors(&form),
        &[
            ("PORT", "must be a whole number"),
            ("CA_CERTIFICATES", "is not in PEM format"),
            ("CERTIFICATE", "certificate number 1 cannot be read"),
            ("PRIVATE_KEY", "holds a certificate"),
        ],
    );
    // What is not in use is not judged.
    let mut form = certificate_cn(b"x", b"x", b"x");
    form.extend([("TLS", &b"none"[..]), ("PORT", b"0")]);
    assert_said(
        &errors(&form),
        &[
            ("PORT", "must be a whole number"),
            (
                "AUTHENTICATION",
                "works only with TLS Support \"Certificate based\"",
            ),
        ],
    );
}

#[test]
fn warnings_do_not_hinder() {
    let ca = ca();
    let recipe = || Recipe::new("broker").names(&["broker"]);
    let valid = |from, to| recipe().valid(from, to).signed_by(&ca);
    let other = Recipe::ca("other").self_signed();
    for (broker, words) in [
        (
            valid(now() - 9 * DAY, now() - DAY),
            "by the router's clock it is",
        ),
        (
            valid(now() + DAY, now() + 9 * DAY),
            "by the router's clock it is",
        ),
        (valid(now() - 9 * DAY, now() + 29 * DAY), "expires soon"),
        (Recipe::new("broker").signed_by(&ca), "add a subjectAltName"),
    ] {
        let form = [ca.pem(), broker.pem(), broker.key_pem()];
        assert_said(
            &warnings(&certificate_cn(&form[0], &form[1], &form[2])),
            &[("CERTIFICATE", words)],
        );
    }
    // Its own CA stands with it.
    let public = recipe().signed_by(&other);
    let form = [
        ca.pem(),
        [public.pem(), other.pem()].concat(),
        public.key_pem(),
    ];
    let mut form = certificate_cn(&form[0], &form[1], &form[2]);
    let said = "is not signed by any of the CA Certificate(s)";
    assert_said(&warnings(&form), &[("CERTIFICATE", said)]);
    // Nothing that is switched off is warned about.
    form.push(("ENABLED", b"0"));
    assert_said(&warnings(&form), &[]);
    let old = Recipe::new("broker").version_1().signed_by(&ca);
    let form = [ca.pem(), old.pem(), old.key_pem()];
    assert_said(
        &warnings(&certificate_cn(&form[0], &form[1], &form[2])),
        &[
            ("CERTIFICATE", "is of the old version 1"),
            ("CERTIFICATE", "add a subjectAltName"),
        ],
    );
    assert_said(
        &warnings(&[("ENABLED", b"1")]),
        &[("AUTHENTICATION", "Without Authentication and TLS")],
    );
}

/// The manual's own commands make certificates that are warned about, and work.
#[test]
fn what_the_manual_makes_is_taken() {
    let form = certificate_cn(
        &MANUAL["ca.crt"],
        &MANUAL["broker.crt"],
        &MANUAL["broker.key"],
    );
    let said = warnings(&form);
    assert!(said.iter().all(|(key, _)| key == "CERTIFICATE"), "{said:?}");
    assert!(
        said.iter()
            .any(|(_, message)| message.contains("subjectAltName"))
    );
}
