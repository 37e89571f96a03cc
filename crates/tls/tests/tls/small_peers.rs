//! The libraries of small devices: little clients in C, compiled here.

use std::path::Path;
use std::process::Command;

use crate::peer::run;
use crate::pki::{Recipe, directory, rsa};
use crate::server::{Server, certificate, psk};

const KEY: [u8; 32] = [0xb7; 32];

fn compile(directory: &Path, name: &str, libraries: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/tls/peers/{name}.c"));
    let done = Command::new("cc")
        .arg("-o")
        .arg(directory.join(name))
        .arg(source)
        .args(libraries)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "lib{name}-dev is needed: {said}");
}

fn key() -> String {
    KEY.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn mbedtls() {
    let ca = Recipe::ca("ca").self_signed();
    let files = directory(&[("ca.crt", &ca.pem())]);
    compile(
        files.path(),
        "mbedtls",
        &["-lmbedtls", "-lmbedx509", "-lmbedcrypto"],
    );
    let program = files.path().join("mbedtls");
    let program = program.to_str().unwrap();
    for key in [crate::pki::p256(), rsa(2048)] {
        let broker = Recipe::new("b")
            .key(key)
            .names(&["localhost"])
            .signed_by(&ca);
        let tls = certificate(b"", &broker.pem(), &broker.key_pem(), false);
        let server = Server::start(tls, 1);
        let words = format!("{} cert ca.crt", server.port);
        let (content, said) = run(files.path(), program, &words, "");
        let outcome = server.outcome();
        assert!(content, "{said} {outcome:?}");
        assert_eq!(outcome.unwrap().received, b"hello\n");
    }
    for suite in [
        "",
        "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
        "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
        "TLS-PSK-WITH-AES-128-GCM-SHA256",
        "TLS-PSK-WITH-AES-256-GCM-SHA384",
        "TLS-PSK-WITH-AES-128-CCM",
        "TLS-PSK-WITH-AES-128-CCM-8",
        "TLS-PSK-WITH-AES-128-CBC-SHA256",
        "TLS-PSK-WITH-CHACHA20-POLY1305-SHA256",
    ] {
        let server = Server::start(psk("test", &KEY), 1);
        let words = format!("{} psk {} {suite}", server.port, key());
        let (content, said) = run(files.path(), program, &words, "");
        let outcome = server.outcome();
        assert!(content, "{suite}: {said} {outcome:?}");
        outcome.unwrap();
    }
}

#[test]
fn wolfssl() {
    let ca = Recipe::ca("ca").self_signed();
    let files = directory(&[("ca.crt", &ca.pem())]);
    compile(files.path(), "wolfssl", &["-lwolfssl"]);
    let program = files.path().join("wolfssl");
    let program = program.to_str().unwrap();
    for (version, named) in [("12", "TLSv1.2 "), ("13", "TLSv1.3 "), ("any", "TLSv1.3 ")] {
        for key in [crate::pki::p256(), rsa(2048)] {
            let broker = Recipe::new("b")
                .key(key)
                .names(&["localhost"])
                .signed_by(&ca);
            let tls = certificate(b"", &broker.pem(), &broker.key_pem(), false);
            let server = Server::start(tls, 1);
            let words = format!("{} {version} cert ca.crt", server.port);
            let (content, said) = run(files.path(), program, &words, "");
            let outcome = server.outcome();
            assert!(content, "{version}: {said} {outcome:?}");
            assert!(outcome.unwrap().description.starts_with(named));
        }
        let suites: &[&str] = match version {
            "12" => &["", "ECDHE-PSK-AES128-CBC-SHA256"],
            _ => &[""],
        };
        for suite in suites {
            let server = Server::start(psk("test", &KEY), 1);
            let words = format!("{} {version} psk {} {suite}", server.port, key());
            let (content, said) = run(files.path(), program, &words, "");
            let outcome = server.outcome();
            assert!(content, "{version} {suite}: {said} {outcome:?}");
            assert!(outcome.unwrap().description.starts_with(named));
        }
    }
}
