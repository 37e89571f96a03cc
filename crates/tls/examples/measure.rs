//! What a TLS connection costs: the server's processor time for a handshake, and its memory while nothing happens.
//!
//!     cargo run --release -p tls --example measure -- MODE CONNECTIONS
//!     cargo run --release -p tls --example measure -- MODE CONNECTIONS PORT    only the clients, for another server
//!
//! MODE is cert12, cert13, psk12, psk13 or plain, with an RSA key instead of P-256 as rsa12 or rsa13. The clients send an
//! MQTT CONNECT and wait for four bytes. With PEAK in the environment, 64 KiB then go both ways before silence comes. For
//! another server, the pre-shared key is that of the manual's example.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::rc::Rc;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Name};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, LocalExecutor};
use tls::{ClientOptions, ClientPsk, ClientTls, Material, ServerTls, Stream, Version};
use zeroize::Zeroizing;

type Failure = Box<dyn std::error::Error>;

const KEY: [u8; 32] = *b"\xb7\xe8\x7d\x9b\x20\x74\xd5\x88\x9a\x79\x69\x98\x5d\x9f\xc3\xf0\
                         \x4e\x4e\x5b\x8c\xb5\x79\x56\xa8\x12\xb2\xc5\x2b\x64\x11\xab\xd8";

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [mode, connections] => server(mode, connections.parse()?),
        [mode, connections, port] => clients(mode, connections.parse()?, port.parse()?),
        _ => Err("MODE CONNECTIONS [PORT]".into()),
    }
}

fn server(mode: &str, connections: usize) -> Result<(), Failure> {
    let tls = if mode.starts_with("psk") {
        let identity = b"test";
        ServerTls::new(&Material::Psk {
            identity,
            key: &KEY,
        })
    } else if mode == "plain" {
        Ok(ServerTls::None)
    } else {
        let (certificate, private_key) = own_certificate(mode.starts_with("rsa"))?;
        ServerTls::new(&Material::Certificate {
            ca: b"",
            certificate: &certificate,
            private_key: &private_key,
            ask_client: false,
        })
    };
    let tls = Rc::new(tls.map_err(|problems| format!("{problems:?}"))?);
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
    let port = listener.get_ref().local_addr()?.port();
    let mut child = Command::new(std::env::current_exe()?)
        .args([mode, &connections.to_string(), &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        let mut tasks = Vec::new();
        let (mut before, mut started) = (0, 0);
        for number in 0..connections {
            // The first ones bring tables and code into memory that all share.
            if number == connections / 10 {
                (before, started) = (memory()?, processor()?);
            }
            let (socket, _) = listener.accept().await?;
            socket.get_ref().set_nodelay(true)?;
            let mut stream = tls
                .accept(socket)
                .await
                .map_err(|refused| refused.reason.to_string())?;
            answer(&mut stream).await?;
            tasks.push(executor.spawn(async move {
                let mut byte = [0];
                let _ = stream.read(&mut byte).await;
            }));
            smol::future::yield_now().await;
        }
        let spent = processor()? - started;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let idle = memory()?;
        let counted = connections - connections / 10;
        println!(
            "{mode}: {} us a handshake, {:.1} KiB an idle connection ({})",
            spent / 1000 / counted as u64,
            (idle - before) as f64 / 1024.0 / counted as f64,
            line.trim()
        );
        Ok(())
    }))
    .and_then(|()| {
        drop(child.stdin.take());
        child.wait()?;
        // Not there for pre-shared keys.
        let _ = std::fs::remove_file(trusted(mode.starts_with("rsa")));
        Ok(())
    })
}

async fn answer(stream: &mut Stream<Async<TcpStream>>) -> Result<(), Failure> {
    let mut buffer = [0; 256];
    stream.read(&mut buffer).await?;
    stream.write_all(&[0x20, 2, 0, 0]).await?;
    stream.flush().await?;
    if has_peak() {
        stream.write_all(&[1; PEAK]).await?;
        stream.flush().await?;
        stream.read_exact(&mut vec![0; PEAK]).await?;
    }
    Ok(())
}

/// Bytes each way.
const PEAK: usize = 64 * 1024;

fn has_peak() -> bool {
    std::env::var_os("PEAK").is_some()
}

/// Opens all connections, says so, and holds them until standard input ends.
fn clients(mode: &str, connections: usize, port: u16) -> Result<(), Failure> {
    let mut options = ClientOptions {
        version: Some(match mode.ends_with("12") {
            true => Version::Tls12,
            false => Version::Tls13,
        }),
        ..ClientOptions::default()
    };
    if mode.starts_with("psk") {
        options.psk = Some(ClientPsk {
            identity: "test".to_string(),
            key: Zeroizing::new(KEY.to_vec()),
        });
    } else {
        options.ca_file = Some(trusted(mode.starts_with("rsa")));
        options.insecure = true;
    }
    let client = match mode {
        "plain" => None,
        _ => Some(ClientTls::new(&options, &mut |_| {
            Err(std::io::ErrorKind::Unsupported.into())
        })?),
    };
    let mut streams = Vec::new();
    let mut description = None;
    smol::block_on(async {
        for number in 0..connections {
            let socket = Async::<TcpStream>::connect(([127, 0, 0, 1], port)).await?;
            socket.get_ref().set_nodelay(true)?;
            let mut stream = match &client {
                Some(client) => client.connect("localhost", socket).await?,
                None => Stream::plain(socket),
            };
            let name = format!("{number:06}");
            let mut connect = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x00\x00\x06".to_vec();
            connect.extend_from_slice(name.as_bytes());
            stream.write_all(&connect).await?;
            stream.flush().await?;
            stream.read_exact(&mut [0; 4]).await?;
            if has_peak() {
                let mut bytes = vec![0; PEAK];
                stream.read_exact(&mut bytes).await?;
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            description = stream.describe();
            streams.push(stream);
        }
        Ok::<_, Failure>(())
    })?;
    println!("{}", description.as_deref().unwrap_or("plain"));
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Where the server leaves its certificate for the clients; another server's must be put there.
fn trusted(rsa: bool) -> std::path::PathBuf {
    std::env::temp_dir().join(if rsa {
        "measure-rsa.crt"
    } else {
        "measure.crt"
    })
}

fn own_certificate(rsa: bool) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let key = if rsa {
        PKey::from_rsa(Rsa::generate(2048)?)?
    } else {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        PKey::from_ec_key(EcKey::generate(&group)?)?
    };
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "localhost")?;
    let name = name.build();
    let mut builder = X509::builder()?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    let (today, tomorrow) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
    builder.set_not_before(&today)?;
    builder.set_not_after(&tomorrow)?;
    builder.sign(&key, MessageDigest::sha256())?;
    let certificate = builder.build().to_pem()?;
    std::fs::write(trusted(rsa), &certificate)?;
    Ok((certificate, key.private_key_to_pem_pkcs8()?))
}

/// This process' resident memory in bytes.
fn memory() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
}

/// This thread's processor time in nanoseconds.
fn processor() -> Result<u64, Failure> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let spent = times.split_whitespace().next();
    Ok(spent.ok_or("no schedstat")?.parse()?)
}
