//! The command-line clients' side, against our server and OpenSSL's.

use std::net::TcpStream;
use std::path::PathBuf;

use smol::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use tls::{ClientError, ClientOptions, ClientPsk, ClientTls, ServerTls, Version};
use zeroize::Zeroizing;

use crate::pki::{Identity, MANUAL, Recipe, directory};
use crate::server::{Server, certificate, psk};

fn client(options: &ClientOptions) -> Result<ClientTls, ClientError> {
    ClientTls::new(options, &mut |_| panic!("no password is needed"))
}

/// Says a line to a server as `host` and hears it back. Returns what protects it.
fn talk(
    tls: ServerTls,
    options: &ClientOptions,
    host: &str,
) -> (Result<String, ClientError>, crate::server::Outcome) {
    let server = Server::start(tls, 1);
    let client = client(options).unwrap();
    let port = server.port;
    let said = smol::block_on(async {
        let socket = Async::<TcpStream>::connect(([127, 0, 0, 1], port)).await;
        let mut stream = client.connect(host, socket.unwrap()).await?;
        let connected = async {
            stream.write_all(b"hello\n").await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            assert_eq!(answer, b"hello\n");
            stream.close().await
        };
        connected.await.map_err(ClientError::Lost)?;
        Ok(stream.describe().unwrap())
    });
    (said, server.outcome())
}

fn trusting(path: PathBuf) -> ClientOptions {
    ClientOptions {
        ca_file: Some(path),
        ..ClientOptions::default()
    }
}

fn manual(ask_client: bool) -> ServerTls {
    let file = |name: &str| &MANUAL[name][..];
    certificate(
        file("ca.crt"),
        file("broker.crt"),
        file("broker.key"),
        ask_client,
    )
}

#[test]
fn the_manuals_certificates() {
    let files =
        directory(&["ca.crt", "client.crt", "client.key"].map(|name| (name, &MANUAL[name][..])));
    let path = |name: &str| files.path().join(name);
    let mut options = trusting(path("ca.crt"));
    options.certificate = Some(path("client.crt"));
    options.private_key = Some(path("client.key"));
    options.alpn = Some("mqtt".to_string());
    for (version, named) in [
        (None, "TLSv1.3 "),
        (Some(Version::Tls12), "TLSv1.2 "),
        (Some(Version::Tls13), "TLSv1.3 "),
    ] {
        options.version = version;
        let (said, outcome) = talk(manual(true), &options, "localhost");
        assert!(said.unwrap().starts_with(named));
        assert_eq!(
            outcome.unwrap().common_name.as_deref(),
            Some("Data collector")
        );
    }
    options.version = Some(Version::Tls12);
    options.ciphers = Some("ECDHE-RSA-AES256-GCM-SHA384".to_string());
    let (said, _) = talk(manual(false), &options, "localhost");
    assert_eq!(
        said.unwrap(),
        "TLSv1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    );
}

#[test]
fn whom_the_client_trusts() {
    let ca = Recipe::ca("ca").self_signed();
    let broker = Recipe::new("broker")
        .names(&["localhost", "127.0.0.1"])
        .signed_by(&ca);
    let tls = |identity: &Identity| certificate(b"", &identity.pem(), &identity.key_pem(), false);
    let files = directory(&[
        ("ca.crt", &ca.pem()),
        ("other.crt", &Recipe::ca("ca").self_signed().pem()),
    ]);
    let mut options = trusting(files.path().join("ca.crt"));
    for host in ["localhost", "127.0.0.1"] {
        talk(tls(&broker), &options, host).0.unwrap();
    }
    let (error, outcome) = talk(tls(&broker), &options, "router");
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "host name verification failed");
    assert!(outcome.unwrap_err().starts_with("it refused the broker"));
    options.insecure = true;
    talk(tls(&broker), &options, "router").0.unwrap();
    // --insecure is about the name alone.
    options.ca_file = Some(files.path().join("other.crt"));
    let (error, _) = talk(tls(&broker), &options, "localhost");
    let error = error.unwrap_err();
    assert!(matches!(&error, ClientError::Untrusted(..)), "{error:?}");
    assert!(
        error
            .openssl()
            .iter()
            .any(|line| line.starts_with("error:0A000086:SSL routines::certificate verify")),
        "{error:?}"
    );
    let old = Recipe::new("localhost")
        .valid(crate::pki::now() - 9, crate::pki::now() - 5)
        .signed_by(&ca);
    options.ca_file = Some(files.path().join("ca.crt"));
    let (error, _) = talk(tls(&old), &options, "localhost");
    assert_eq!(
        error.unwrap_err().to_string(),
        "certificate verify failed: certificate has expired"
    );
    // No CA at all.
    let (error, _) = talk(tls(&broker), &ClientOptions::default(), "localhost");
    assert!(matches!(error, Err(ClientError::Untrusted(..))));
}

#[test]
fn a_directory_of_authorities() {
    let ca = Recipe::ca("ca").self_signed();
    let broker = Recipe::new("localhost").signed_by(&ca);
    let files = directory(&[("ca.crt", &ca.pem())]);
    let (content, said) = crate::peer::run(files.path(), "openssl", "rehash .", "");
    assert!(content, "{said}");
    let options = ClientOptions {
        ca_path: Some(files.path().to_path_buf()),
        ..ClientOptions::default()
    };
    let tls = certificate(b"", &broker.pem(), &broker.key_pem(), false);
    talk(tls, &options, "localhost").0.unwrap();
}

#[test]
fn pre_shared_keys_in_both_versions() {
    let options = |key: &[u8], version| ClientOptions {
        psk: Some(ClientPsk {
            identity: "test".to_string(),
            key: Zeroizing::new(key.to_vec()),
        }),
        version,
        ..ClientOptions::default()
    };
    for (version, named) in [
        (None, "TLSv1.3 TLS_AES_128_GCM_SHA256"),
        (
            Some(Version::Tls12),
            "TLSv1.2 TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        for key in [&[9; 32][..], &[9; 512], b"\xba"] {
            let (said, outcome) = talk(psk("test", key), &options(key, version), "router");
            assert_eq!(said.unwrap(), named);
            outcome.unwrap();
        }
        let (error, outcome) = talk(psk("test", &[9; 32]), &options(&[8; 32], version), "router");
        assert!(matches!(error, Err(ClientError::Handshake(_))), "{error:?}");
        assert_eq!(
            outcome.unwrap_err(),
            "its pre-shared key is not the one in the settings"
        );
    }
    // A server with a certificate is not what was asked for.
    let (error, _) = talk(manual(false), &options(&[9; 32], None), "localhost");
    assert!(error.is_err());
    let too_long = client(&options(&[9; 513], None));
    assert!(matches!(too_long, Err(ClientError::Psk)));
}

#[test]
fn encrypted_keys_ask_for_their_password() {
    let ca = Recipe::ca("ca").self_signed();
    let own = Recipe::new("own").key(crate::pki::rsa(2048)).signed_by(&ca);
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let pkcs8 = own
        .key
        .private_key_to_pem_pkcs8_passphrase(cipher, b"secret")
        .unwrap();
    let old = own
        .key
        .rsa()
        .unwrap()
        .private_key_to_pem_passphrase(cipher, b"secret")
        .unwrap();
    let files = directory(&[
        ("c.crt", &own.pem()),
        ("pkcs8.key", &pkcs8),
        ("old.key", &old),
    ]);
    for key in ["pkcs8.key", "old.key"] {
        let options = ClientOptions {
            certificate: Some(files.path().join("c.crt")),
            private_key: Some(files.path().join(key)),
            ..ClientOptions::default()
        };
        let mut asked = Vec::new();
        let made = ClientTls::new(&options, &mut |path| {
            asked.push(path.to_path_buf());
            Ok(Zeroizing::new(b"secret".to_vec()))
        });
        made.unwrap();
        assert_eq!(asked, [files.path().join(key)]);
        let made = ClientTls::new(&options, &mut |_| Ok(Zeroizing::new(b"wrong".to_vec())));
        assert!(matches!(made, Err(ClientError::PrivateKey(..))));
        let made = ClientTls::new(&options, &mut |_| Err(std::io::ErrorKind::NotFound.into()));
        assert!(matches!(made, Err(ClientError::File(..))));
    }
}

#[test]
fn options_that_cannot_be_obeyed() {
    let own = Recipe::new("own").self_signed();
    let other = Recipe::new("other").self_signed();
    let files = directory(&[
        ("own.crt", &own.pem()),
        ("other.key", &other.key_pem()),
        ("junk", b"junk"),
    ]);
    let path = |name: &str| Some(files.path().join(name));
    let text = |options: ClientOptions| client(&options).unwrap_err().to_string();
    let none = ClientOptions::default;
    let with = |certificate, private_key| ClientOptions {
        certificate,
        private_key,
        ..none()
    };
    assert!(
        text(ClientOptions {
            ca_file: path("none"),
            ..none()
        })
        .contains("No such file")
    );
    assert!(
        text(ClientOptions {
            ca_file: path("junk"),
            ..none()
        })
        .contains("CA certificates")
    );
    assert!(text(with(path("own.crt"), None)).contains("Both"));
    assert!(text(with(path("junk"), path("other.key"))).contains("certfile"));
    assert!(text(with(path("own.crt"), path("junk"))).contains("keyfile"));
    assert!(text(with(path("own.crt"), path("other.key"))).contains("inconsistent"));
    assert!(
        text(ClientOptions {
            ciphers: Some("NONSENSE".into()),
            ..none()
        })
        .contains("cipher list")
    );
    assert!(
        text(ClientOptions {
            alpn: Some(String::new()),
            ..none()
        })
        .contains("ALPN")
    );
}
