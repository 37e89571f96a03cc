//! How a connection that begins with an HTTP request becomes a WebSocket (RFC 6455, section 4.2), or why it does not.
//!
//! A web page can make a browser send requests to any address that the browser reaches. What such a page may do here is
//! decided by `Origin`, which no page can forge.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64ct::{Base64, Encoding};
use httparse::{Error, Request, Status};
use sha1::{Digest, Sha1};

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// No HTTP: the engine is to judge them.
    Mqtt,
    /// The head of a request whose end has not come yet.
    Incomplete,
    /// A client wants a WebSocket and shall have it. After `head` bytes its frames follow.
    Upgrade { answer: Vec<u8>, head: usize },
    /// Any other request.
    Refused(Refusal),
}

/// A request that is answered, and nothing more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// All of it.
    pub(crate) answer: Vec<u8>,
    /// For the log, in words.
    pub(crate) reason: Cow<'static, str>,
}

/// Bytes that a head may have.
const MAX_HEAD: usize = 8 * 1024;
/// Fields that it may have.
const MAX_FIELDS: usize = 64;
/// Bytes of an Origin that the log shows.
const MAX_SHOWN: usize = 100;

/// An upgrade is named in Connection as well (RFC 9110, section 7.8).
const UPGRADE_REQUIRED: &str = "426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade";

/// Methods of HTTP, and how a client of HTTP/2 begins. MQTT begins with CONNECT, whose first byte is 0x10.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    b"PRI ",
];

/// Judges what has come of a connection so far, of which the first `known` bytes were found incomplete before.
/// `origins` are those of WEBSOCKET_ORIGINS.
pub(crate) fn begin(bytes: &[u8], known: usize, origins: &[String]) -> Beginning {
    let matches = |method: &&[u8]| bytes.iter().zip(*method).all(|(byte, other)| byte == other);
    if !METHODS.iter().any(matches) {
        return Beginning::Mqtt;
    }
    // A head ends with a line: without the end of one there is nothing to look for.
    if bytes.len() < MAX_HEAD && !bytes[known..].contains(&b'\n') {
        return Beginning::Incomplete;
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    let mut refusal = match request.parse(&bytes[..bytes.len().min(MAX_HEAD)]) {
        Ok(Status::Complete(head)) => match judge(&request, origins) {
            Ok(answer) => return Beginning::Upgrade { answer, head },
            Err(refusal) => refusal,
        },
        Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Beginning::Incomplete,
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => refuse(
            "431 Request Header Fields Too Large",
            "an HTTP request with too long a head",
            "The head of the request is too long.",
        ),
        Err(Error::Version) => refuse(
            "505 HTTP Version Not Supported",
            "an HTTP request of another version than 1.1",
            "Only HTTP/1.1 is understood.",
        ),
        Err(_) => refuse(
            "400 Bad Request",
            "an HTTP request that is malformed",
            "The request is malformed.",
        ),
    };
    if request.method == Some("HEAD") {
        let head = refusal
            .answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        refusal.answer.truncate(head.map_or(0, |head| head + 4));
    }
    Beginning::Refused(refusal)
}

/// The answer that makes the connection a WebSocket.
fn judge(request: &Request<'_, '_>, origins: &[String]) -> Result<Vec<u8>, Refusal> {
    if request.method != Some("GET") {
        return Err(refuse(
            "405 Method Not Allowed\r\nAllow: GET",
            "an HTTP request with another method than GET",
            "Use an MQTT client, or a WebSocket with the sub-protocol mqtt.",
        ));
    }
    let fields = Fields(request.headers);
    if request.version != Some(1) || !fields.names("Upgrade", "websocket") {
        return Err(refuse(
            UPGRADE_REQUIRED,
            "an HTTP request that asks for no WebSocket",
            "Use an MQTT client, or a WebSocket with the sub-protocol mqtt.",
        ));
    }
    if !fields.names("Connection", "upgrade") {
        return Err(bad(
            "a WebSocket request without \"Connection: Upgrade\", as proxies make it",
            "The field Connection must name Upgrade; a proxy must pass it on.",
        ));
    }
    let Some(host) = fields.only("Host").and_then(host_of) else {
        return Err(bad(
            "a WebSocket request that does not name one host",
            "The field Host must name one host.",
        ));
    };
    if fields.only("Sec-WebSocket-Version") != Some("13") {
        return Err(refuse(
            &format!("{UPGRADE_REQUIRED}\r\nSec-WebSocket-Version: 13"),
            "a WebSocket request of another version than 13",
            "Only version 13 of WebSocket is understood.",
        ));
    }
    let key = fields.only("Sec-WebSocket-Key").filter(|key| {
        let mut nonce = [0; 16];
        Base64::decode(key, &mut nonce).is_ok_and(|nonce| nonce.len() == 16)
    });
    let Some(key) = key else {
        return Err(bad(
            "a WebSocket request without a proper Sec-WebSocket-Key",
            "The field Sec-WebSocket-Key must be 16 bytes in Base64.",
        ));
    };
    if fields.all("Origin").next().is_some() {
        let origin = fields.only("Origin").unwrap_or_default();
        let is_browser = fields.all("User-Agent").next().is_some();
        if !is_welcome(origin, host, is_browser, origins) {
            return Err(refuse(
                "403 Forbidden",
                stranger(origin),
                "WEBSOCKET_ORIGINS does not name the web site that this page is of.",
            ));
        }
    }
    // [MQTT-6.0.0-3]: the client offers `mqtt`; `mqttv3.1` is what clients of 3.1 offered.
    let offered = ["mqtt", "mqttv3.1"].into_iter().find(|name| {
        fields
            .tokens("Sec-WebSocket-Protocol")
            .any(|token| token == *name)
    });
    let Some(protocol) = offered else {
        return Err(bad(
            "a WebSocket request without the sub-protocol mqtt",
            "The field Sec-WebSocket-Protocol must offer mqtt.",
        ));
    };
    Ok(accept(key, protocol))
}

/// [MQTT-6.0.0-4] and RFC 6455, section 4.2.2.
fn accept(key: &str, protocol: &str) -> Vec<u8> {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n",
        Base64::encode_string(&hash)
    )
    .into_bytes()
}

/// `status` may bring fields with it. Nothing of the request comes back in the answer.
fn refuse(status: &str, reason: impl Into<Cow<'static, str>>, sentence: &str) -> Refusal {
    let body = format!("This is an MQTT broker. {sentence}\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Refusal {
        answer: answer.into_bytes(),
        reason: reason.into(),
    }
}

fn bad(reason: &'static str, sentence: &str) -> Refusal {
    refuse("400 Bad Request", reason, sentence)
}

/// Why a web page is refused. Its Origin is named only where nothing in it can forge a line of the log.
fn stranger(origin: &str) -> Cow<'static, str> {
    match split_origin(origin) {
        Some(_) if origin.len() <= MAX_SHOWN => {
            format!("a web page of {origin}, which WEBSOCKET_ORIGINS does not name").into()
        }
        _ => "a web page of an origin that can't be named".into(),
    }
}

/// Whether a client that states an Origin may connect to this `host`.
///
/// Pages of the router itself may. But a page of a strange site can have its own name lead to the router ("DNS
/// rebinding"), so that Origin and Host agree: a name that anyone could own counts only if listed. That is for
/// browsers; programs that state an Origin for no reason are known by the User-Agent that they lack and no page can
/// suppress.
fn is_welcome(origin: &str, host: &str, is_browser: bool, origins: &[String]) -> bool {
    let Some((scheme, authority)) = split_origin(origin) else {
        return false;
    };
    let listed = |known: &String| {
        split_origin(known).is_some_and(|(other, place)| {
            other == scheme
                && without_default_port(other, place)
                    .eq_ignore_ascii_case(without_default_port(scheme, authority))
        })
    };
    let is_same = host_of(authority).is_some_and(|other| other.eq_ignore_ascii_case(host));
    is_same && (is_local(host) || !is_browser) || origins.iter().any(listed)
}

/// Scheme and authority of an Origin (RFC 6454, section 6.2); `null` has neither.
fn split_origin(origin: &str) -> Option<(&'static str, &str)> {
    let (scheme, authority) = match origin.strip_prefix("http://") {
        Some(authority) => ("http", authority),
        None => ("https", origin.strip_prefix("https://")?),
    };
    host_of(authority).map(|_| (scheme, authority))
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme == "http" { ":80" } else { ":443" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// The host of `host` or `host:port`.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_part)
        }
    };
    (is_host && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

/// Whether nobody outside can make this host lead to the router: an address, a name without a dot, or one below a
/// domain that nobody can register (RFC 6762, RFC 8375, and `internal` by ICANN's decision of 2024).
fn is_local(host: &str) -> bool {
    let is_below = |domain: &str| {
        let at = host.len().checked_sub(domain.len());
        at.and_then(|at| host.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(domain))
    };
    host.starts_with('[')
        || host.parse::<Ipv4Addr>().is_ok()
        || !host.contains('.')
        || [".local", ".home.arpa", ".internal"]
            .into_iter()
            .any(is_below)
}

/// The fields of a head. A value that is not ASCII reads as empty.
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| match field.value.is_ascii() {
                true => str::from_utf8(field.value).unwrap_or_default().trim(),
                false => "",
            })
    }

    /// The value of a field that is there exactly once.
    fn only(&self, name: &str) -> Option<&'a str> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// The members of a list, which may be spread over several fields (RFC 9110, section 5.3).
    fn tokens(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
    }

    fn names(&self, name: &str, wanted: &str) -> bool {
        self.tokens(name)
            .any(|token| token.eq_ignore_ascii_case(wanted))
    }
}

#[cfg(test)]
mod tests;
