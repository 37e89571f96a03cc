//! `-L`: broker and topic in one URL, `mqtt://[username[:password]@]host[:port]/topic`.

use std::net::Ipv6Addr;

use zeroize::Zeroizing;

use crate::options::mistake::Mistake;

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// `mqtts` and `wss`
    pub(super) tls: bool,
    /// `ws` and `wss`
    pub(super) websocket: bool,
    pub(super) username: Option<Vec<u8>>,
    pub(super) password: Option<Zeroizing<Vec<u8>>>,
    /// Not empty, without brackets.
    pub(super) host: Vec<u8>,
    /// The one that is stated, else 1883, with TLS 8883; WebSockets are spoken on these ports too.
    pub(super) port: u16,
    /// All that follows the first `/`, as it is.
    pub(super) topic: Vec<u8>,
}

/// Scheme, TLS, WebSocket.
const SCHEMES: [(&[u8], bool, bool); 4] = [
    (b"mqtt://", false, false),
    (b"mqtts://", true, false),
    (b"ws://", false, true),
    (b"wss://", true, true),
];

impl Url {
    pub(super) fn parse(url: &[u8]) -> Result<Url, Mistake> {
        let scheme = SCHEMES.into_iter().find(|(scheme, ..)| {
            url.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let Some((scheme, tls, websocket)) = scheme else {
            return Err(Mistake::of_option("Error: unsupported URL scheme."));
        };
        let rest = &url[scheme.len()..];
        let Some(slash) = rest.iter().position(|&byte| byte == b'/') else {
            return Err(missing("topic"));
        };
        let (authority, topic) = (&rest[..slash], &rest[slash + 1..]);
        let (user, place) = split_user(authority);
        let (host, port) = split_port(place).ok_or_else(|| missing("host"))?;
        let host = match bracketed(host) {
            Some(address) => address.to_vec(),
            None => decode(host),
        };
        if host.is_empty() {
            return Err(missing("host"));
        }
        let port = match port {
            Some(port) => read_port(port).ok_or_else(|| {
                Mistake::new(format!("Error: Invalid port given: {}", text(port)))
            })?,
            None if tls => 8883,
            None => 1883,
        };
        let (username, password) = match user {
            Some((name, password)) => (
                Some(decode(name)),
                password.map(|password| Zeroizing::new(decode(password))),
            ),
            None => (None, None),
        };
        Ok(Url {
            tls,
            websocket,
            username,
            password,
            host,
            port,
            topic: topic.to_vec(),
        })
    }
}

fn missing(what: &str) -> Mistake {
    Mistake::new(format!(
        "Error: Invalid URL for -L argument specified - {what} missing."
    ))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A user name and the password after it.
type User<'a> = (&'a [u8], Option<&'a [u8]>);

/// What stands before the last `@`, split at its first `:`, and the rest: a password may have both characters.
pub(super) fn split_user(authority: &[u8]) -> (Option<User<'_>>, &[u8]) {
    let Some(at) = authority.iter().rposition(|&byte| byte == b'@') else {
        return (None, authority);
    };
    let user = &authority[..at];
    let user = match user.iter().position(|&byte| byte == b':') {
        Some(colon) => (&user[..colon], Some(&user[colon + 1..])),
        None => (user, None),
    };
    (Some(user), &authority[at + 1..])
}

/// Host and port. The host keeps its brackets; a bare IPv6 address has no port. None if a bracket is not closed or
/// something else than a port follows it.
pub(super) fn split_port(place: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let is_address = std::str::from_utf8(place).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    if is_address {
        return Some((place, None));
    }
    let end = match place.first() {
        Some(b'[') => place.iter().position(|&byte| byte == b']')? + 1,
        _ => place
            .iter()
            .position(|&byte| byte == b':')
            .unwrap_or(place.len()),
    };
    match &place[end..] {
        [] => Some((&place[..end], None)),
        [b':', port @ ..] => Some((&place[..end], Some(port))),
        _ => None,
    }
}

/// What stands between brackets.
pub(super) fn bracketed(host: &[u8]) -> Option<&[u8]> {
    host.strip_prefix(b"[")?.strip_suffix(b"]")
}

/// A port, which is not 0.
pub(super) fn read_port(port: &[u8]) -> Option<u16> {
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    (port != 0).then_some(port)
}

/// Decodes `%41` and its like; a `%` without two hexadecimal digits after it stays as it is.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        let digit = char::from(*text.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(url: &str) -> Result<Url, String> {
        Url::parse(url.as_bytes()).map_err(|mistake| mistake.standard_error(crate::Tool::Pub))
    }

    fn place(url: &str) -> (String, u16, String) {
        let url = parse(url).expect("legal");
        (text(&url.host), url.port, text(&url.topic))
    }

    #[test]
    fn hosts_ports_and_topics() {
        for (url, host, port, topic) in [
            ("mqtt://router/t", "router", 1883, "t"),
            ("mqtts://router/t", "router", 8883, "t"),
            ("ws://router/t", "router", 1883, "t"),
            ("wss://router/t", "router", 8883, "t"),
            ("MQTT://router:1/a/b", "router", 1, "a/b"),
            ("mqtt://router//a", "router", 1883, "/a"),
            ("mqtt://router/a/#", "router", 1883, "a/#"),
            ("mqtt://router/a%20b@c:d", "router", 1883, "a%20b@c:d"),
            ("mqtt://[fc00:202::254]:5/t", "fc00:202::254", 5, "t"),
            ("mqtt://[::1]/t", "::1", 1883, "t"),
            ("mqtt://::1/t", "::1", 1883, "t"),
            ("mqtt://fc00:202::254/t", "fc00:202::254", 1883, "t"),
            ("mqtt://10.0.0.1:65535/t", "10.0.0.1", 65535, "t"),
            ("mqtt://rout%65r/t", "router", 1883, "t"),
            ("mqtt://router/", "router", 1883, ""),
        ] {
            assert_eq!(place(url), (host.into(), port, topic.into()), "{url}");
        }
    }

    #[test]
    fn schemes() {
        for (url, tls, websocket) in [
            ("mqtt://h/t", false, false),
            ("mqttS://h/t", true, false),
            ("WS://h/t", false, true),
            ("wss://h/t", true, true),
        ] {
            let url = parse(url).expect("legal");
            assert_eq!((url.tls, url.websocket), (tls, websocket));
        }
    }

    #[test]
    fn users() {
        for (user, name, password) in [
            ("house@", Some("house"), None),
            ("house:12345@", Some("house"), Some("12345")),
            ("house:@", Some("house"), Some("")),
            (":12345@", Some(""), Some("12345")),
            ("@", Some(""), None),
            ("", None, None),
            ("house:a@b:c@", Some("house"), Some("a@b:c")),
            ("h%40me:%3a%25%2f@", Some("h@me"), Some(":%/")),
            ("house:100%@", Some("house"), Some("100%")),
            ("house:%zz%4@", Some("house"), Some("%zz%4")),
        ] {
            let url = parse(&format!("mqtt://{user}router:7/t")).expect("legal");
            assert_eq!(
                url.username.as_deref().map(text),
                name.map(String::from),
                "{user}"
            );
            let given = url.password.as_ref().map(|password| text(password));
            assert_eq!(given, password.map(String::from), "{user}");
            assert_eq!((text(&url.host), url.port), ("router".into(), 7));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, said) in [
            ("", "Error: unsupported URL scheme.\n\n\nUse "),
            ("foo", "Error: unsupported URL scheme."),
            ("http://h/t", "Error: unsupported URL scheme."),
            ("mqtt:/h/t", "Error: unsupported URL scheme."),
            (
                "mqtt://h",
                "Error: Invalid URL for -L argument specified - topic missing.\n\nUse ",
            ),
            ("mqtt://", "topic missing."),
            ("mqtt:///t", "host missing."),
            ("mqtt://:1/t", "host missing."),
            ("mqtt://u@/t", "host missing."),
            ("mqtt://[]/t", "host missing."),
            ("mqtt://[::1/t", "host missing."),
            ("mqtt://[::1]x/t", "host missing."),
            ("mqtt://h:/t", "Error: Invalid port given: \n"),
            ("mqtt://h:0/t", "Error: Invalid port given: 0\n"),
            ("mqtt://h:1x/t", "Error: Invalid port given: 1x\n"),
            ("mqtt://h:70000/t", "Error: Invalid port given: 70000\n"),
            ("mqtt://h:1:2/t", "Error: Invalid port given: 1:2\n"),
        ] {
            let mistake = parse(url).expect_err(url);
            assert!(mistake.contains(said), "{url}: {mistake}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(url in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Url::parse(&url);
        }

        #[test]
        fn no_authority_panics(rest in "[a-z:@%\\[\\]/0-9.]{0,24}") {
            if let Ok(url) = Url::parse(format!("mqtt://{rest}").as_bytes()) {
                prop_assert!(!url.host.is_empty() && url.port != 0);
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let encoded: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(encoded.as_bytes()), bytes);
        }
    }
}
