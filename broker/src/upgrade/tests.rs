use proptest::prelude::*;

use super::*;

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: 192.168.1.1:1883\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn begin(bytes: impl AsRef<[u8]>) -> Beginning {
    super::begin(bytes.as_ref(), 0, &[])
}

/// The request with some of its lines changed, or others put in their place.
fn changed(from: &str, to: &str) -> String {
    assert!(REQUEST.contains(from), "{from}");
    REQUEST.replacen(from, to, 1)
}

fn with(line: &str) -> String {
    changed("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"))
}

fn refused(request: impl AsRef<[u8]>) -> (u16, String, String) {
    let Beginning::Refused(refusal) = begin(&request) else {
        panic!("{}", String::from_utf8_lossy(request.as_ref()))
    };
    let answer = String::from_utf8(refusal.answer).unwrap();
    let status = answer["HTTP/1.1 ".len()..][..3].parse().unwrap();
    (status, answer, refusal.reason.into_owned())
}

#[test]
fn the_example_of_the_standard() {
    let Beginning::Upgrade { answer, head } = begin(format!("{REQUEST}frames")) else {
        panic!()
    };
    assert_eq!(head, REQUEST.len());
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
}

#[test]
fn a_request_may_come_byte_by_byte() {
    for end in 0..REQUEST.len() {
        let part = &REQUEST.as_bytes()[..end];
        assert_eq!(begin(part), Beginning::Incomplete, "{end}");
        assert_eq!(
            super::begin(part, end.saturating_sub(1), &[]),
            Beginning::Incomplete
        );
    }
    let whole = REQUEST.as_bytes();
    assert!(matches!(
        super::begin(whole, whole.len() - 1, &[]),
        Beginning::Upgrade { .. }
    ));
}

#[test]
fn what_is_no_http_is_left_to_the_engine() {
    for bytes in [
        &b"\x10\x0c\0\x04MQTT"[..],
        b"P\x02\0\x01",
        b"GETTING",
        b"get / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01",
        b"Hello",
    ] {
        assert_eq!(begin(bytes), Beginning::Mqtt, "{bytes:?}");
    }
}

#[test]
fn the_sub_protocol_is_chosen() {
    for (offered, chosen) in [
        ("mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, mqtt", "mqtt"),
        ("chat,mqttv3.1", "mqttv3.1"),
        ("chat\r\nSec-WebSocket-Protocol: mqtt", "mqtt"),
    ] {
        let request = changed("Protocol: mqtt", &format!("Protocol: {offered}"));
        let Beginning::Upgrade { answer, .. } = begin(request) else {
            panic!("{offered}")
        };
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.ends_with(&format!("\r\nSec-WebSocket-Protocol: {chosen}\r\n\r\n")));
    }
}

#[test]
fn fields_are_read_as_the_standard_has_them() {
    for request in [
        changed("Upgrade: websocket", "UPGRADE: h2c, WebSocket"),
        changed("Connection: Upgrade", "connection: keep-alive, upgrade"),
        changed(
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection:\tUPGRADE  ",
        ),
        changed("/mqtt", "/"),
        changed("/mqtt", "/any/thing?at=all"),
        changed("192.168.1.1:1883", "router"),
        changed("192.168.1.1:1883", "[fe80::1]:1883"),
        with("Sec-WebSocket-Extensions: permessage-deflate"),
        with("Cookie: \u{e4}"),
    ] {
        assert!(
            matches!(begin(&request), Beginning::Upgrade { .. }),
            "{request}"
        );
    }
}

#[test]
fn everything_else_is_refused() {
    let many = (0..=MAX_FIELDS).fold(String::new(), |all, number| {
        format!("{all}X-{number}: x\r\n")
    });
    let long = "x".repeat(MAX_HEAD);
    for (status, request) in [
        (426, "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (426, "GET / HTTP/1.0\r\n\r\n".to_owned()),
        (426, changed("HTTP/1.1", "HTTP/1.0")),
        (426, changed("Upgrade: websocket", "Upgrade: h2c")),
        (426, changed("Version: 13", "Version: 8")),
        (
            426,
            changed("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13"),
        ),
        (426, changed("Sec-WebSocket-Version: 13\r\n", "")),
        (405, changed("GET", "POST")),
        (405, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (405, "CONNECT example.com:443 HTTP/1.1\r\n\r\n".to_owned()),
        (505, changed("HTTP/1.1", "HTTP/2.0")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (400, "GET /\r\n\r\n".to_owned()),
        (400, "GET  HTTP/1.1\r\n\r\n".to_owned()),
        (400, changed("Host", "Ho st")),
        (
            400,
            changed("Connection: Upgrade", "Connection: keep-alive"),
        ),
        (400, changed("Host: 192.168.1.1:1883\r\n", "")),
        (400, changed("192.168.1.1:1883", "")),
        (400, changed("192.168.1.1:1883", "a b")),
        (400, changed("192.168.1.1:1883", "user@router")),
        (400, changed("192.168.1.1:1883", "[::1")),
        (400, changed("192.168.1.1:1883", "router:x")),
        (400, with("Host: router")),
        (400, changed("dGhlIHNhbXBsZSBub25jZQ==", "")),
        (
            400,
            changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"),
        ),
        (
            400,
            changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"),
        ),
        (
            400,
            changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQAA"),
        ),
        (400, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")),
        (400, changed("Protocol: mqtt", "Protocol: chat")),
        (400, changed("Protocol: mqtt", "Protocol: MQTT")),
        (400, changed("Sec-WebSocket-Protocol: mqtt\r\n", "")),
        (403, with("Origin: null")),
        (403, with("Origin:")),
        (
            403,
            with("Origin: http://192.168.1.1\r\nOrigin: http://192.168.1.1"),
        ),
        (403, with("Origin: http://evil.example")),
        (431, with(&many)),
        (431, with(&format!("X: {long}"))),
        (431, format!("GET /{long}")),
    ] {
        let (seen, answer, reason) = refused(&request);
        assert_eq!(seen, status, "{request}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8"));
        assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())));
        assert!(
            head.lines()
                .any(|line| line.starts_with("Connection: ") && line.ends_with("close"))
        );
        assert!(
            body.starts_with("This is an MQTT broker. ") && body.ends_with(".\n"),
            "{body}"
        );
        assert!(!answer.contains('<') && !answer.contains("evil") && !reason.is_empty());
    }
    let (_, answer, _) = refused(changed("Version: 13", "Version: 8"));
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    assert!(answer.contains("\r\nUpgrade: websocket\r\n"));
    assert!(answer.contains("\r\nConnection: Upgrade\r\n"));
    let (_, answer, _) = refused(changed("GET", "POST"));
    assert!(answer.contains("\r\nAllow: GET\r\n"));
    let (status, answer, _) = refused(changed("GET", "HEAD"));
    assert_eq!(
        (status, answer.find("\r\n\r\n")),
        (405, Some(answer.len() - 4))
    );
}

/// The reason why a page may not connect, if so.
fn judged(host: &str, origin: &str, agent: &str, listed: &[&str]) -> Option<String> {
    let request = changed("192.168.1.1:1883", host);
    let request = request.replace("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n{agent}\r\n"));
    let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
    match super::begin(request.as_bytes(), 0, &listed) {
        Beginning::Upgrade { .. } => None,
        Beginning::Refused(refusal) => {
            assert!(refusal.answer.starts_with(b"HTTP/1.1 403 "));
            Some(refusal.reason.into_owned())
        }
        other => panic!("{other:?}"),
    }
}

const BROWSER: &str = "User-Agent: Mozilla/5.0\r\n";

#[test]
fn pages_of_the_router_itself_are_welcome() {
    for (host, origin) in [
        ("192.168.1.1:1883", "http://192.168.1.1"),
        ("192.168.1.1", "https://192.168.1.1:8443"),
        ("[FE80::1]:1883", "http://[fe80::1]"),
        ("Router:1883", "http://router:8080"),
        ("localhost:1883", "http://localhost"),
        ("router.local:1883", "http://router.local"),
        ("a.home.arpa:1883", "http://A.home.arpa"),
        ("gw.internal", "http://gw.internal"),
    ] {
        assert_eq!(judged(host, origin, BROWSER, &[]), None, "{host} {origin}");
    }
}

#[test]
fn pages_of_others_are_not() {
    for (host, origin) in [
        ("192.168.1.1:1883", "http://192.168.1.2"),
        ("127.0.0.1:1883", "http://localhost"),
        ("[::1]:1883", "http://127.0.0.1"),
        ("router", "http://router.evil.example"),
        ("router", "http://evil.example/router"),
        ("router", "http://router@evil.example"),
        ("router", "http://evil.example:80@router"),
        ("router", "ftp://router"),
        ("router", "file://router"),
        ("router", "router"),
        ("router", "http://"),
        ("router", "http://router:x"),
        ("router", "http://router, http://evil.example"),
        ("router", "http://r\u{f6}uter"),
        // A name of the page's own that leads to the router.
        ("evil.example:1883", "http://evil.example"),
        ("local.evil.example", "http://local.evil.example"),
        ("evillocal.example", "http://evillocal.example"),
        (
            "192.168.1.1.evil.example",
            "http://192.168.1.1.evil.example",
        ),
    ] {
        assert!(
            judged(host, origin, BROWSER, &[]).is_some(),
            "{host} {origin}"
        );
    }
}

#[test]
fn a_program_that_states_an_origin_is_no_page() {
    let (host, origin) = ("broker.example.com:1883", "http://broker.example.com:1883");
    assert_eq!(judged(host, origin, "", &[]), None);
    assert!(judged(host, origin, BROWSER, &[]).is_some());
    assert!(judged(host, "http://evil.example", "", &[]).is_some());
}

#[test]
fn sites_that_are_listed_are_welcome() {
    let listed = [
        "https://panel.example.com",
        "http://192.168.1.2:8080",
        "http://[fc00::1]:80",
    ];
    for origin in [
        "https://panel.example.com",
        "https://Panel.example.com:443",
        "http://192.168.1.2:8080",
        "http://[fc00::1]",
    ] {
        assert_eq!(
            judged("192.168.1.1", origin, BROWSER, &listed),
            None,
            "{origin}"
        );
    }
    for origin in [
        "http://panel.example.com",
        "https://panel.example.com:8443",
        "https://panel.example.com.evil.example",
        "http://192.168.1.2",
        "null",
    ] {
        assert!(
            judged("192.168.1.1", origin, BROWSER, &listed).is_some(),
            "{origin}"
        );
    }
    assert_eq!(
        judged(
            "panel.example.com",
            "https://panel.example.com",
            BROWSER,
            &listed
        ),
        None
    );
}

#[test]
fn the_log_names_who_may_be_named() {
    let reason = |origin: &str| judged("router", origin, BROWSER, &[]).unwrap();
    assert_eq!(
        reason("http://evil.example:81"),
        "a web page of http://evil.example:81, which WEBSOCKET_ORIGINS does not name"
    );
    let long = format!("http://{}", "a".repeat(100));
    for origin in ["null", "http://a\tb", "http://a\"b", &long] {
        assert_eq!(
            reason(origin),
            "a web page of an origin that can't be named"
        );
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_judged(
        method in prop::sample::select(&METHODS[..]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
        known in 0_usize..400,
    ) {
        let bytes = [method, &rest].concat();
        let whole = super::begin(&bytes, 0, &[]);
        prop_assert_ne!(&whole, &Beginning::Mqtt);
        super::begin(&bytes, known.min(bytes.len()), &[]);
    }

    #[test]
    fn a_request_with_bytes_changed_is_judged(at in 0..REQUEST.len(), byte in any::<u8>(), end in 0..REQUEST.len()) {
        let mut bytes = REQUEST.as_bytes().to_vec();
        bytes[at] = byte;
        begin(&bytes[..end]);
        if let Beginning::Upgrade { head, .. } = begin(&bytes) {
            prop_assert!(head <= bytes.len());
        }
    }
}
