//! Pre-shared keys.

use crate::peer::{mosquitto_pub, run, s_client};
use crate::pki::{MANUAL, Recipe, directory};
use crate::server::{Server, certificate, psk};

const KEY: [u8; 32] = [0xb7; 32];

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(connections: usize) -> Server {
    Server::start(psk("test", &KEY), connections)
}

#[test]
fn openssl_in_both_versions() {
    let files = directory(&[]);
    for (words, description) in [
        ("-tls1_3", "TLSv1.3 TLS_AES_128_GCM_SHA256"),
        (
            "-tls1_2 -cipher PSK",
            "TLSv1.2 TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
        ),
        (
            "-tls1_2 -cipher PSK-AES128-CCM8:@SECLEVEL=0",
            "TLSv1.2 TLS_PSK_WITH_AES_128_CCM_8",
        ),
        (
            "-tls1_2 -cipher PSK-AES128-GCM-SHA256",
            "TLSv1.2 TLS_PSK_WITH_AES_128_GCM_SHA256",
        ),
        (
            "-tls1_2 -cipher PSK-AES128-CBC-SHA256",
            "TLSv1.2 TLS_PSK_WITH_AES_128_CBC_SHA256",
        ),
    ] {
        let server = start(1);
        let words = format!("-quiet {words} -psk_identity test -psk {}", hex(&KEY));
        let (content, said) = s_client(files.path(), server.port, &words);
        assert!(content, "{said}");
        let served = server.outcome().unwrap();
        assert_eq!(served.description, description);
        assert_eq!(served.common_name, None);
        assert_eq!(served.received, b"hello\n");
    }
}

#[test]
fn mosquitto_pub_with_the_manuals_example() {
    let files = directory(&[]);
    for version in ["", "--tls-version tlsv1.2", "--tls-version tlsv1.3"] {
        let server = start(1);
        let words = format!(
            "-h 127.0.0.1 {version} --psk {} --psk-identity test",
            hex(&KEY)
        );
        let (content, said) = mosquitto_pub(files.path(), server.port, &words);
        assert!(content, "{said}");
        let received = server.outcome().unwrap().received;
        assert!(received.windows(7).any(|part| part == b"topic54"));
    }
}

#[test]
fn gnutls_in_both_versions() {
    let files = directory(&[]);
    for (priority, version) in [
        ("NORMAL:-KX-ALL:+PSK", "TLSv1.3 "),
        ("NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK", "TLSv1.3 "),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+PSK", "TLSv1.2 "),
        (
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK",
            "TLSv1.2 ",
        ),
    ] {
        let server = start(1);
        let words = format!(
            "--pskusername test --pskkey {} --priority {priority} -p {} 127.0.0.1",
            hex(&KEY),
            server.port
        );
        let (_, said) = run(files.path(), "gnutls-cli", &words, "hello\n");
        let served = server
            .outcome()
            .unwrap_or_else(|error| panic!("{error} {said}"));
        assert!(served.description.starts_with(version), "{served:?}");
        // gnutls-cli 3.7 crashes while it describes the last kind, with OpenSSL's own server too.
        if !priority.ends_with("+ECDHE-PSK") {
            assert_eq!(served.received, b"hello\n", "{priority} {said}");
        }
    }
}

/// A change of keys that the client wants answered (RFC 8446 4.6.3), with either library.
#[test]
fn keys_are_changed() {
    let ca = Recipe::ca("ca").self_signed();
    let broker = Recipe::new("broker").signed_by(&ca);
    let files = directory(&[]);
    let psk_words = format!(
        "--pskusername test --pskkey {} --priority NORMAL:-KX-ALL:+PSK",
        hex(&KEY)
    );
    for (tls, words) in [
        (psk("test", &KEY), &psk_words[..]),
        (
            certificate(b"", &broker.pem(), &broker.key_pem(), false),
            "--insecure",
        ),
    ] {
        let server = Server::start(tls, 1);
        let words = format!("{words} --inline-commands -p {} 127.0.0.1", server.port);
        let (_, said) = run(
            files.path(),
            "gnutls-cli",
            &words,
            "^rekey^\n^rekey1^\n^rekey1^\nhello\n",
        );
        let served = server
            .outcome()
            .unwrap_or_else(|error| panic!("{error} {said}"));
        assert_eq!(
            said.matches("Rekey was completed").count(),
            3,
            "{served:?} {said}"
        );
        assert_eq!(served.received, b"hello\n", "{said}");
    }
}

#[test]
fn a_wrong_key_and_a_wrong_name_look_alike_to_the_client() {
    let files = directory(&[]);
    let wrong = hex(&[1; 32]);
    for version in ["-tls1_2 -cipher PSK", "-tls1_3"] {
        let alert = |identity: &str, key: &str| {
            let server = start(1);
            let words = format!("{version} -msg -psk_identity {identity} -psk {key}");
            let (content, said) = s_client(files.path(), server.port, &words);
            assert!(!content, "{said}");
            // What the server sends, lengths included, up to its alert.
            let messages = said.lines().filter(|line| line.starts_with("<<<"));
            let messages: Vec<_> = messages.map(str::to_string).collect();
            assert!(messages.last().unwrap().contains("Alert"), "{said}");
            (messages, server.outcome().unwrap_err())
        };
        let (of_key, key_text) = alert("test", &wrong);
        let (of_name, name_text) = alert("stranger", &wrong);
        let (of_both, both_text) = alert("stranger", &hex(&KEY));
        assert_eq!(of_key, of_name);
        assert_eq!(of_key, of_both);
        assert_eq!(
            key_text,
            "its pre-shared key is not the one in the settings"
        );
        assert_eq!(
            name_text,
            "its PSK identity \"stranger\" is not the one in the settings"
        );
        assert_eq!(both_text, name_text);
    }
}

#[test]
fn a_key_of_three_bytes_and_one_of_512() {
    let files = directory(&[]);
    for key in [vec![0xba, 0xd1, 0x23], vec![7; 512]] {
        for version in ["-tls1_2 -cipher PSK", "-tls1_3"] {
            let server = Server::start(psk("hint", &key), 1);
            let words = format!("-quiet {version} -psk_identity hint -psk {}", hex(&key));
            let (content, said) = s_client(files.path(), server.port, &words);
            if key.len() > 256 && !content && said.contains("psk") {
                // OpenSSL's own program takes 256 bytes at most before 3.2.
                drop(server);
                continue;
            }
            assert!(content, "{said}");
            server.outcome().unwrap();
        }
    }
}

#[test]
fn who_has_no_key_is_told_apart() {
    let files = directory(&[("ca.crt", &MANUAL["ca.crt"])]);
    for words in ["-tls1_3", "-tls1_2", ""] {
        let server = start(1);
        let (content, said) = s_client(files.path(), server.port, words);
        assert!(!content, "{said}");
        let text = server.outcome().unwrap_err();
        assert!(
            text.starts_with("it offers no pre-shared key"),
            "{words}: {text}"
        );
    }
    let server = start(1);
    let (content, _) = mosquitto_pub(files.path(), server.port, "-h localhost --cafile ca.crt");
    assert!(!content);
    assert!(
        server
            .outcome()
            .unwrap_err()
            .starts_with("it offers no pre-shared key")
    );
    let server = start(1);
    let (content, _) = mosquitto_pub(files.path(), server.port, "-h localhost");
    assert!(!content);
    let text = server.outcome().unwrap_err();
    assert_eq!(text, "it speaks MQTT without TLS, which this port demands");
}

#[test]
fn old_versions_and_renegotiation_are_refused() {
    let files = directory(&[]);
    let key = hex(&KEY);
    for version in ["-tls1", "-tls1_1"] {
        let server = start(1);
        let words = format!("{version} -cipher PSK:@SECLEVEL=0 -psk_identity test -psk {key}");
        let (content, said) = s_client(files.path(), server.port, &words);
        assert!(
            !content && said.contains("alert protocol version"),
            "{said}"
        );
        assert_eq!(
            server.outcome(),
            Err("it offers no TLS version from 1.2 on".to_string())
        );
    }
    let server = start(1);
    let words = format!(
        "s_client -connect 127.0.0.1:{} -tls1_2 -cipher PSK -psk_identity test -psk {key}",
        server.port
    );
    let (_, said) = run(files.path(), "openssl", &words, "R\n");
    assert!(
        said.contains("RENEGOTIATING") && said.contains("no renegotiation"),
        "{said}"
    );
    drop(server);
}

#[test]
fn no_tickets() {
    let files = directory(&[]);
    let server = start(1);
    let words = format!("-psk_identity test -psk {}", hex(&KEY));
    let (content, said) = s_client(files.path(), server.port, &words);
    assert!(content && !said.contains("New Session Ticket"), "{said}");
    server.outcome().unwrap();
}
