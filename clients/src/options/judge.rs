//! What was noted is judged as a whole, and becomes [`Options`].

use mqtt::{Disconnect, Property, ReasonCode, Version};
use zeroize::Zeroizing;

use crate::Tool;
use crate::options::mistake::Mistake;
use crate::options::parse::Noted;
use crate::options::property::{self, Command};
use crate::options::{Connection, Options, Session, Target, Task, Will, tasks};

/// How many messages are in flight unless `-M` says it, and the Receive Maximum.
const MAX_INFLIGHT: u16 = 20;

pub(super) fn judge(tool: Tool, mut noted: Noted, process: u32) -> Result<Options, Mistake> {
    if noted.will_topic.is_none() {
        let given = match (&noted.will_payload, noted.will_retain) {
            (Some(_), _) => Some("payload"),
            (None, true) => Some("retain"),
            (None, false) => None,
        };
        if let Some(given) = given {
            return Err(Mistake::new(format!(
                "Error: Will {given} given, but no will topic given."
            )));
        }
    }
    let tls = tls(&mut noted)?;
    let version = version(tool, &noted);
    let session = session(tool, &mut noted, version, process)?;
    let connection = connection(&mut noted, tls);
    let (debug, quiet) = (noted.debug, noted.quiet);
    let task = match tool {
        Tool::Pub => Task::Publish(tasks::publish(noted, version)?),
        Tool::Sub => {
            let broker = match &connection.target {
                Target::Tcp { host, .. } => host.clone(),
                Target::Unix(path) => path.display().to_string(),
            };
            Task::Subscribe(tasks::subscribe(noted, broker, version)?)
        }
        Tool::Rr => Task::Request(tasks::request(noted, version)?),
    };
    Ok(Options {
        connection,
        session,
        task,
        debug,
        quiet,
    })
}

/// `-D` makes it 5.0, whatever `-V` says, and `-x` does where `-V` says nothing.
fn version(tool: Tool, noted: &Noted) -> Version {
    if noted.properties.any() {
        return Version::V5;
    }
    noted.version.unwrap_or(match (tool, noted.session_expiry) {
        (Tool::Rr, _) | (_, Some(_)) => Version::V5,
        _ => Version::V311,
    })
}

fn tls(noted: &mut Noted) -> Result<Option<tls::ClientOptions>, Mistake> {
    let options = &noted.tls;
    let has_ca = options.ca_file.is_some() || options.ca_path.is_some();
    if options.certificate.is_some() != options.private_key.is_some() {
        return Err(Mistake::new(
            "Error: Both certfile and keyfile must be provided if one of them is set.",
        ));
    }
    match noted.key_form.as_deref() {
        None => {}
        Some(_) if options.private_key.is_none() => {
            return Err(Mistake::new(
                "Error: If keyform is set, keyfile must be also specified.",
            ));
        }
        Some(b"pem") => {}
        Some(b"engine") => noted.has_engine = true,
        Some(_) => {
            return Err(Mistake::plain(
                "Error: Problem setting key form, it must be 'pem'.",
            ));
        }
    }
    if noted.has_engine {
        return Err(Mistake::plain(
            "Error: TLS engines are not supported: OpenSSL has none any more.",
        ));
    }
    if noted.psk.is_some() && has_ca {
        return Err(Mistake::new(
            "Error: Only one of --psk or --cafile/--capath may be used at once.",
        ));
    }
    let psk = match (noted.psk.take(), noted.psk_identity.take()) {
        (None, None) => None,
        (Some(_), None) => {
            return Err(Mistake::new(
                "Error: --psk-identity required if --psk used.",
            ));
        }
        (None, Some(_)) => {
            return Err(Mistake::new(
                "Error: --psk required if --psk-identity used.",
            ));
        }
        (Some(digits), Some(identity)) => Some(tls::ClientPsk {
            identity,
            key: key(&digits)?,
        }),
    };
    if noted.no_tls {
        return Ok(None);
    }
    let mut options = std::mem::take(&mut noted.tls);
    let is_asked_for = has_ca || options.os_certificates || psk.is_some();
    if !is_asked_for && noted.port == Some(8883) {
        options.os_certificates = true;
    } else if !is_asked_for {
        // Mosquitto connects in plaintext then, and the certificate is never shown.
        return match options.certificate {
            Some(_) => Err(Mistake::new(
                "Error: --cert and --key need one of --cafile, --capath or --tls-use-os-certs.",
            )),
            None => Ok(None),
        };
    }
    if noted.port.is_none() && (has_ca || psk.is_some()) {
        noted.port = Some(8883);
    }
    // As in Mosquitto, 1.2 is the least with certificates, and the only one with a pre-shared key.
    if psk.is_none() && options.version == Some(tls::Version::Tls12) {
        options.version = None;
    }
    options.psk = psk;
    Ok(Some(options))
}

/// The pre-shared key's bytes.
fn key(digits: &[u8]) -> Result<Zeroizing<Vec<u8>>, Mistake> {
    let digit = |digit: u8| {
        let digit = char::from(digit).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut key = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.chunks(2) {
        let byte = match *pair {
            [high, low] => digit(high).zip(digit(low)),
            _ => None,
        };
        let (high, low) = byte.ok_or_else(|| {
            Mistake::plain(
                "Error: Problem setting TLS-PSK options.\n\
                 --psk must be pairs of hexadecimal digits.",
            )
        })?;
        key.push(high << 4 | low);
    }
    Ok(key)
}

fn connection(noted: &mut Noted, tls: Option<tls::ClientOptions>) -> Connection {
    let host = noted.host.take().unwrap_or_else(|| "localhost".into());
    let target = match (noted.unix.take(), noted.port.unwrap_or(1883)) {
        (Some(path), _) => Target::Unix(path),
        (None, 0) => Target::Unix(host.into()),
        (None, port) => Target::Tcp { host, port },
    };
    Connection {
        target,
        bind: noted.bind.take(),
        nodelay: noted.nodelay,
        proxy: noted.proxy.take(),
        tls,
        websocket: noted.websocket,
    }
}

fn session(
    tool: Tool,
    noted: &mut Noted,
    version: Version,
    process: u32,
) -> Result<Session, Mistake> {
    noted.properties.check()?;
    let client_identifier = match (noted.client_id.take(), noted.client_id_prefix.take()) {
        (Some(id), _) if id.is_empty() => return Err(Mistake::plain("Error: Invalid id.")),
        (Some(id), _) => Some(id),
        (None, Some(prefix)) => Some(format!("{prefix}{process}")),
        (None, None) => None,
    };
    let mut connect_properties = noted.take_properties(Command::Connect);
    let stated = connect_properties.as_properties().session_expiry_interval();
    let session_expiry = match (version, noted.session_expiry) {
        (Version::V5, Some(_)) if stated.is_some() => {
            return Err(property::twice(Command::Connect));
        }
        (Version::V5, Some(seconds)) => seconds,
        (Version::V5, None) if stated.is_some() => stated.unwrap_or_default(),
        _ if noted.keeps_session => u32::MAX,
        _ => 0,
    };
    if client_identifier.is_none() && version < Version::V5 && noted.keeps_session {
        return Err(Mistake::new(
            "Error: You must provide a client id if you are using the -c option.",
        ));
    }
    if client_identifier.is_none() && session_expiry == u32::MAX {
        return Err(Mistake::new(
            "Error: You must provide a client id if you are using an infinite session expiry interval.",
        ));
    }
    let client_identifier = match client_identifier {
        Some(id) => id,
        None if version == Version::V31 => random_identifier()?,
        None => String::new(),
    };
    let stated_maximum = connect_properties.as_properties().receive_maximum();
    // The Server is not to send more than is printed: what it keeps, the next run gets.
    let printed = match tool {
        Tool::Pub => None,
        Tool::Sub => noted.count.map(std::num::NonZeroU32::get),
        Tool::Rr => Some(1),
    };
    let receive_maximum = stated_maximum.unwrap_or_else(|| {
        let printed = printed.and_then(|count| u16::try_from(count).ok());
        printed.map_or(MAX_INFLIGHT, |count| count.min(MAX_INFLIGHT))
    });
    if version == Version::V5 {
        let mut push = |property| {
            connect_properties
                .push(property)
                .map_err(|error| unfit("CONNECT", error))
        };
        if stated.is_none() && session_expiry != 0 {
            push(Property::SessionExpiryInterval(session_expiry))?;
        }
        if stated_maximum.is_none() {
            push(Property::ReceiveMaximum(receive_maximum))?;
        }
    }
    let username = noted.username.take().map(String::from_utf8).transpose();
    let username = username.map_err(|_| wrong_credentials())?;
    let password = noted.password.take();
    // [MQTT-3.1.2-22] in 3.1.1.
    if version < Version::V5 && password.is_some() && username.is_none() {
        return Err(wrong_credentials());
    }
    let properties = noted.take_properties(Command::Will);
    let session = Session {
        version,
        client_identifier,
        clean_start: !noted.keeps_session,
        keep_alive: noted.keep_alive.unwrap_or(60),
        username,
        password,
        will: noted.will_topic.take().map(|topic| Will {
            topic,
            payload: noted.will_payload.take().unwrap_or_default(),
            qos: noted.will_qos,
            retain: noted.will_retain,
            properties,
        }),
        max_inflight: noted.max_inflight.unwrap_or(MAX_INFLIGHT),
        receive_maximum,
        session_expiry,
        connect_properties,
        disconnect_properties: noted.take_properties(Command::Disconnect),
    };
    let encoded = session.connect().encode(&mut Vec::new());
    encoded.map_err(|error| unfit("CONNECT", error))?;
    let disconnect = Disconnect {
        reason: ReasonCode::Success,
        properties: session.disconnect_properties.as_properties(),
    };
    let encoded = disconnect.encode(version, &mut Vec::new());
    encoded.map_err(|error| unfit("DISCONNECT", error))?;
    Ok(session)
}

fn wrong_credentials() -> Mistake {
    Mistake::plain("Error: Problem setting username and/or password.")
}

/// A packet that could not be written.
pub(super) fn unfit(packet: &str, error: mqtt::EncodeError) -> Mistake {
    Mistake::new(format!("Error in {packet}: {error}."))
}

/// MQTT 3.1 has no empty Client Identifier: `mosq-` and 18 letters and digits, as the original makes it.
fn random_identifier() -> Result<String, Mistake> {
    const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = [0; 18];
    getrandom::fill(&mut random)
        .map_err(|error| Mistake::plain(format!("Error: No client id can be made up: {error}.")))?;
    let characters = random
        .iter()
        .map(|byte| char::from(CHARACTERS[usize::from(*byte) % CHARACTERS.len()]));
    Ok("mosq-".chars().chain(characters).collect())
}
