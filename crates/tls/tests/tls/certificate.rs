//! The broker shows a certificate, and may ask for the client's.

use std::path::Path;

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;

use crate::peer::{mosquitto_pub, run, s_client};
use crate::pki::{DAY, Identity, MANUAL, Recipe, directory, large_rsa, now, on_curve, rsa};
use crate::server::{Outcome, Server, certificate};

/// A broker of the manual's.
fn manual(ask_client: bool) -> tls::ServerTls {
    let file = |name: &str| &MANUAL[name][..];
    certificate(
        file("ca.crt"),
        file("broker.crt"),
        file("broker.key"),
        ask_client,
    )
}

fn manual_files() -> tempfile::TempDir {
    let names = ["ca.crt", "client.crt", "client.key"];
    directory(&names.map(|name| (name, &MANUAL[name][..])))
}

/// What a broker says of a client that shows this certificate, the CA being another or the same.
fn shown(ca: &Identity, chain: &[&Identity]) -> Outcome {
    let broker = Recipe::new("broker").signed_by(ca);
    let tls = certificate(&ca.pem(), &broker.pem(), &broker.key_pem(), true);
    let others: Vec<u8> = chain[1..].iter().flat_map(|one| one.pem()).collect();
    let files = directory(&[
        ("client.crt", &chain[0].pem()),
        ("client.key", &chain[0].key_pem()),
        ("others.crt", &others),
    ]);
    let with_others = match chain.len() {
        1 => "",
        _ => "-cert_chain others.crt",
    };
    let server = Server::start(tls, 1);
    // Whether TLS 1.3's client hears of it differs; what the server says does not.
    s_client(
        files.path(),
        server.port,
        &format!(
            "-quiet -cipher DEFAULT:@SECLEVEL=0 -cert client.crt -key client.key {with_others}"
        ),
    );
    server.outcome()
}

#[test]
fn the_manuals_certificates_work_both_ways() {
    let files = manual_files();
    for (version, named) in [("-tls1_2", "TLSv1.2 "), ("-tls1_3", "TLSv1.3 ")] {
        let server = Server::start(manual(true), 1);
        let words = format!(
            "-quiet {version} -CAfile ca.crt -verify_return_error -cert client.crt -key client.key"
        );
        let (content, said) = s_client(files.path(), server.port, &words);
        assert!(content && said.contains("hello\n"), "{said}");
        let served = server.outcome().unwrap();
        assert!(served.description.starts_with(named), "{served:?}");
        assert_eq!(served.common_name.as_deref(), Some("Data collector"));
        assert_eq!(served.received, b"hello\n");
    }
}

#[test]
fn mosquitto_pub_with_and_without_a_certificate() {
    let files = manual_files();
    for (ask, words, name) in [
        (false, "", None),
        (false, "--tls-version tlsv1.2", None),
        (
            true,
            "--cert client.crt --key client.key",
            Some("Data collector"),
        ),
    ] {
        let server = Server::start(manual(ask), 1);
        let words = format!("-h localhost --cafile ca.crt {words}");
        let (content, said) = mosquitto_pub(files.path(), server.port, &words);
        assert!(content, "{said}");
        let served = server.outcome().unwrap();
        assert_eq!(served.common_name.as_deref(), name);
        assert!(served.received.windows(7).any(|part| part == b"topic54"));
    }
    // An address as host: no name is sent that would be one.
    let server = Server::start(manual(false), 1);
    let (content, said) = mosquitto_pub(
        files.path(),
        server.port,
        "-h 127.0.0.1 --cafile ca.crt --insecure",
    );
    assert!(content, "{said}");
    server.outcome().unwrap();
}

#[test]
fn pythons_ssl() {
    let files = manual_files();
    let program = "
import socket, ssl, sys
context = ssl.create_default_context(cafile='ca.crt')
context.load_cert_chain('client.crt', 'client.key')
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, sys.argv[2])
with context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20), server_hostname='localhost') as s:
    s.sendall(b'x' * 100000 + b'\\n')
    data = b''
    while part := s.recv(65536):
        data += part
    assert data == b'x' * 100000 + b'\\n', len(data)
";
    std::fs::write(files.path().join("peer.py"), program).unwrap();
    for version in ["TLSv1_2", "TLSv1_3"] {
        let server = Server::start(manual(true), 1);
        let words = format!("peer.py {} {version}", server.port);
        let (content, said) = run(files.path(), "python3", &words, "");
        assert!(content, "{said}");
        assert_eq!(server.outcome().unwrap().received.len(), 100_001);
    }
}

#[test]
fn gnutls() {
    let ca = Recipe::ca("ca").self_signed();
    let broker = Recipe::new("broker").names(&["localhost"]).signed_by(&ca);
    let client = Recipe::new("gnu").signed_by(&ca);
    let files = directory(&[
        ("ca.crt", &ca.pem()),
        ("client.crt", &client.pem()),
        ("client.key", &client.key_pem()),
    ]);
    for version in ["1.2", "1.3"] {
        let tls = certificate(&ca.pem(), &broker.pem(), &broker.key_pem(), true);
        let server = Server::start(tls, 1);
        let words = format!(
            "--x509cafile ca.crt --x509certfile client.crt --x509keyfile client.key \
             --priority NORMAL:-VERS-ALL:+VERS-TLS{version} --verify-hostname localhost -p {} 127.0.0.1",
            server.port
        );
        let (_, said) = run(files.path(), "gnutls-cli", &words, "hello\n");
        let served = server.outcome().unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(served.received, b"hello\n", "{said}");
        assert_eq!(served.common_name.as_deref(), Some("gnu"));
        assert!(served.description.starts_with(&format!("TLSv{version} ")));
    }
}

#[test]
fn every_kind_of_key_signs_for_the_broker() {
    for (key, versions) in [
        (rsa(2048), &["-tls1_2", "-tls1_3"][..]),
        (large_rsa(), &["-tls1_2", "-tls1_3"]),
        (on_curve(Nid::SECP384R1), &["-tls1_2", "-tls1_3"]),
        (on_curve(Nid::SECP521R1), &["-tls1_2", "-tls1_3"]),
        (PKey::generate_ed25519().unwrap(), &["-tls1_2", "-tls1_3"]),
    ] {
        let broker = Recipe::new("broker").key(key).self_signed();
        let files = directory(&[("broker.crt", &broker.pem())]);
        for version in versions {
            let tls = certificate(b"", &broker.pem(), &broker.key_pem(), false);
            let server = Server::start(tls, 1);
            let words = format!("-quiet {version} -CAfile broker.crt -verify_return_error");
            let (content, said) = s_client(files.path(), server.port, &words);
            assert!(content, "{said}");
            server.outcome().unwrap();
        }
    }
}

#[test]
fn intermediates_from_either_field_are_sent() {
    let root = Recipe::ca("root").self_signed();
    let middle = Recipe::ca("middle").signed_by(&root);
    let broker = Recipe::new("broker").signed_by(&middle);
    let files = directory(&[("root.crt", &root.pem())]);
    let with = |ca: &[&Identity], own: &[&Identity]| {
        let pem = |all: &[&Identity]| all.iter().flat_map(|one| one.pem()).collect::<Vec<u8>>();
        certificate(&pem(ca), &pem(own), &broker.key_pem(), false)
    };
    for tls in [
        with(&[], &[&broker, &middle]),
        with(&[&root, &middle], &[&broker]),
        // In the wrong order, and with a root that need not be sent.
        with(&[], &[&root, &middle, &broker]),
    ] {
        let server = Server::start(tls, 1);
        let words = "-showcerts -CAfile root.crt -verify_return_error";
        let (content, said) = s_client(files.path(), server.port, words);
        assert!(content, "{said}");
        assert_eq!(said.matches("BEGIN CERTIFICATE").count(), 2, "{said}");
        server.outcome().unwrap();
    }
}

#[test]
fn client_certificates_are_judged() {
    let ca = Recipe::ca("ca").self_signed();
    let name = |outcome: Outcome| outcome.unwrap().common_name;
    let reason = |outcome: Outcome| outcome.unwrap_err();

    let good = Recipe::new("good").signed_by(&ca);
    assert_eq!(name(shown(&ca, &[&good])).as_deref(), Some("good"));
    let middle = Recipe::ca("middle").signed_by(&ca);
    let behind = Recipe::new("behind").signed_by(&middle);
    assert_eq!(
        name(shown(&ca, &[&behind, &middle])).as_deref(),
        Some("behind")
    );
    // The CA that signed it is trusted, though its own is not there.
    assert_eq!(name(shown(&middle, &[&behind])).as_deref(), Some("behind"));
    let strong = Recipe::new("strong")
        .key(on_curve(Nid::SECP521R1))
        .signed_by(&ca);
    assert_eq!(name(shown(&ca, &[&strong])).as_deref(), Some("strong"));
    let edwards = Recipe::new("ed").key(PKey::generate_ed25519().unwrap());
    let edwards = edwards.version_1().signed_by(&ca);
    assert_eq!(name(shown(&ca, &[&edwards])).as_deref(), Some("ed"));

    let same_name = Recipe::new("good").signed_by(&Recipe::ca("ca").self_signed());
    let stranger = Recipe::new("good").signed_by(&Recipe::ca("other").self_signed());
    // Not a CA: what its key signs is worth nothing.
    let forged = Recipe::new("forged").signed_by(&good);
    let own = Recipe::new("own").self_signed();
    for chain in [&[&same_name][..], &[&stranger], &[&own]] {
        let reason = reason(shown(&ca, chain));
        assert_eq!(
            reason,
            "its certificate is not signed by the CA in the settings"
        );
    }
    let text = reason(shown(&ca, &[&forged, &good]));
    assert!(text.starts_with("its certificate "), "{text}");
    let old = Recipe::new("old")
        .valid(now() - 9 * DAY, now() - DAY)
        .signed_by(&ca);
    let text = reason(shown(&ca, &[&old]));
    assert!(
        text.contains("expired on") && text.contains("check the router's time"),
        "{text}"
    );
    let early = Recipe::new("early")
        .valid(now() + DAY, now() + 9 * DAY)
        .signed_by(&ca);
    let text = reason(shown(&ca, &[&early]));
    assert!(
        text.contains("valid from") && text.contains("check the router's time"),
        "{text}"
    );
    let late = Recipe::ca("late")
        .valid(now() - 9 * DAY, now() - DAY)
        .self_signed();
    let text = reason(shown(&late, &[&Recipe::new("good").signed_by(&late)]));
    assert!(
        text.contains("that of its CA") && text.contains("check the router's time"),
        "{text}"
    );
    let of_server = Recipe::new("server").purpose("serverAuth").signed_by(&ca);
    assert!(reason(shown(&ca, &[&of_server])).contains("not meant for clients"));
    let small = Recipe::new("small").key(rsa(1024)).signed_by(&ca);
    assert!(reason(shown(&ca, &[&small])).contains("too weak"));
    let sha1 = Recipe::new("sha1")
        .digest(MessageDigest::sha1())
        .signed_by(&ca);
    assert!(reason(shown(&ca, &[&sha1])).contains("too weak"));
}

#[test]
fn a_client_may_not_send_certificates_without_end() {
    let ca = Recipe::ca("ca").self_signed();
    let mut chain = vec![ca.clone()];
    for number in 1..=9 {
        let next = Recipe::ca(&format!("{number}")).signed_by(&chain[0]);
        chain.insert(0, next);
    }
    let leaf = Recipe::new("leaf").signed_by(&chain[0]);
    // From the leaf to the CA's own signature on the last one.
    let mut sent: Vec<&Identity> = vec![&leaf];
    sent.extend(&chain[..9]);
    let served = shown(&ca, &sent).unwrap();
    assert_eq!(served.common_name.as_deref(), Some("leaf"));
    sent.push(&ca);
    let text = shown(&ca, &sent).unwrap_err();
    assert!(text.starts_with("it sent 11 certificates"), "{text}");
}

#[test]
fn a_client_without_certificate_is_refused() {
    let files = manual_files();
    for version in ["-tls1_2", "-tls1_3"] {
        let server = Server::start(manual(true), 1);
        let (_, said) = s_client(files.path(), server.port, version);
        assert_eq!(server.outcome(), Err("it sent no certificate".to_string()));
        assert!(said.contains("alert"), "{said}");
        // No names that a client could choose by.
        assert!(
            said.contains("No client certificate CA names sent"),
            "{said}"
        );
    }
}

/// OpenSSL's client, which keeps its session in the file `session` or goes on with it. In TLS 1.3 the session comes after the
/// handshake, so it waits for an answer.
fn keeps_session(files: &Path, server: &Server, words: &str, how: &str) -> String {
    let words = format!("{words} {how} session");
    s_client(files, server.port, &words).1
}

#[test]
fn resumption_keeps_the_name() {
    let files = manual_files();
    for version in ["-tls1_2", "-tls1_3"] {
        let named = version.replace("-tls1_", "TLSv1.");
        let server = Server::start(manual(true), 3);
        let words = format!("{version} -cert client.crt -key client.key");
        let first = keeps_session(files.path(), &server, &words, "-sess_out");
        assert!(first.contains(&format!("\nNew, {named}")), "{first}");
        for _ in 0..2 {
            let again = keeps_session(files.path(), &server, &words, "-sess_in");
            assert!(again.contains(&format!("\nReused, {named}")), "{again}");
        }
        for outcome in server.outcomes() {
            let outcome = outcome.unwrap();
            assert_eq!(outcome.common_name.as_deref(), Some("Data collector"));
        }
    }
}

#[test]
fn a_ticket_opens_nothing_once_the_settings_were_read_again() {
    let files = manual_files();
    for version in ["-tls1_2", "-tls1_3"] {
        let words = format!("{version} -cert client.crt -key client.key");
        let server = Server::start(manual(true), 1);
        keeps_session(files.path(), &server, &words, "-sess_out");
        server.outcome().unwrap();
        let server = Server::start(manual(true), 1);
        let said = keeps_session(files.path(), &server, &words, "-sess_in");
        assert!(said.contains("\nNew, TLSv1."), "{said}");
        server.outcome().unwrap();
    }
}

/// A ticket comes after the handshake of TLS 1.3, unless the client looks like wolfSSL.
#[test]
fn who_gets_a_ticket() {
    let files = manual_files();
    for (words, expected) in [("", 1), ("-no_middlebox", 0), ("-sess_in session", 1)] {
        let server = Server::start(manual(false), 2);
        keeps_session(files.path(), &server, "-tls1_3", "-sess_out");
        let (content, said) = s_client(files.path(), server.port, &format!("-tls1_3 {words}"));
        let tickets = said.matches("Post-Handshake New Session Ticket").count();
        assert!(content && tickets == expected, "{words}: {said}");
        server.outcomes();
    }
}

#[test]
fn a_certificate_that_expired_meanwhile_is_not_resumed() {
    let ca = Recipe::ca("ca").self_signed();
    let broker = Recipe::new("broker").signed_by(&ca);
    'versions: for version in ["-tls1_2", "-tls1_3"] {
        // A busy machine may need more than two seconds for the first handshake.
        for seconds in [2, 6, 18] {
            let end = now() + seconds;
            let brief = Recipe::new("brief").valid(now() - DAY, end).signed_by(&ca);
            let files = directory(&[("c.crt", &brief.pem()), ("c.key", &brief.key_pem())]);
            let tls = certificate(&ca.pem(), &broker.pem(), &broker.key_pem(), true);
            let server = Server::start(tls, 2);
            let words = format!("{version} -cert c.crt -key c.key");
            keeps_session(files.path(), &server, &words, "-sess_out");
            while now() <= end {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            let said = keeps_session(files.path(), &server, &words, "-sess_in");
            let outcomes = server.outcomes();
            if outcomes[0].is_ok() {
                assert!(said.contains("\nReused, TLSv1."), "{said}");
                let text = outcomes[1].as_ref().unwrap_err();
                assert!(text.contains("expired on"), "{text}");
                continue 'versions;
            }
        }
        panic!("the first handshake never came in time");
    }
}

#[test]
fn old_versions_and_renegotiation_are_refused() {
    let files = manual_files();
    for version in ["-tls1", "-tls1_1"] {
        let server = Server::start(manual(false), 1);
        let words = format!("{version} -cipher ALL:@SECLEVEL=0");
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
    let server = Server::start(manual(false), 1);
    let words = format!("s_client -connect 127.0.0.1:{} -tls1_2", server.port);
    let (_, said) = run(files.path(), "openssl", &words, "R\n");
    assert!(
        said.contains("RENEGOTIATING") && said.contains("no renegotiation"),
        "{said}"
    );
    drop(server);
}

#[test]
fn no_common_suite() {
    let files = manual_files();
    let server = Server::start(manual(false), 1);
    let (content, _) = s_client(files.path(), server.port, "-tls1_2 -cipher AES128-SHA");
    assert!(!content);
    let text = server.outcome().unwrap_err();
    assert!(text.contains("no cipher suite"), "{text}");
}

#[test]
fn plaintext_is_told_apart() {
    let files = manual_files();
    let server = Server::start(manual(false), 2);
    let (content, _) = mosquitto_pub(files.path(), server.port, "-h 127.0.0.1");
    assert!(!content);
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    std::io::Write::write_all(&mut socket, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(socket);
    let texts: Vec<_> = server
        .outcomes()
        .into_iter()
        .map(Result::unwrap_err)
        .collect();
    assert_eq!(
        texts[0],
        "it speaks MQTT without TLS, which this port demands"
    );
    assert_eq!(
        texts[1],
        "what it sends is not TLS, which this port demands"
    );
}

#[test]
fn a_client_that_refuses_the_broker_is_quoted() {
    let other = Recipe::ca("other").self_signed();
    let files = directory(&[("ca.crt", &other.pem())]);
    let server = Server::start(manual(false), 1);
    let (content, _) = mosquitto_pub(files.path(), server.port, "-h localhost --cafile ca.crt");
    assert!(!content);
    let text = server.outcome().unwrap_err();
    assert_eq!(
        text,
        "it refused the broker: it does not know the CA of the broker's certificate"
    );
}
