//! What the pages show, and what they refuse.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::thread;

use crate::router::{FORM, Router};

#[test]
fn all_pages_are_there_with_their_headers() {
    let router = Router::new();
    for (page, title) in [
        (
            "index.cgi",
            "<h2 class=\"title\">MQTT Broker Configuration</h2>",
        ),
        ("status.cgi", "<h2 class=\"title\">Overview</h2>"),
        ("slog.cgi", "<h2 class=\"title\">System Log</h2>"),
    ] {
        let answer = router.get(page, "");
        assert_eq!(answer.status(), "200");
        assert!(answer.body.contains(title), "{page}");
        assert!(
            answer
                .body
                .contains("<a href=\"../../module.cgi\">Return</a>")
        );
        assert_eq!(
            answer.header("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        assert_eq!(answer.header("Referrer-Policy"), Some("same-origin"));
        assert!(
            answer
                .header("Content-Security-Policy")
                .is_some_and(|policy| {
                    policy.starts_with("default-src 'none'; ")
                        && policy.ends_with("frame-ancestors 'none'")
                })
        );
    }
}

#[test]
fn the_address_decides_when_the_program_is_called_by_its_own_name() {
    let router = Router::new();
    let variables = [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", "/module/mqtt_broker/slog.cgi"),
    ];
    assert!(
        router
            .ask("../bin/cgi", &variables, b"")
            .body
            .contains(">System Log</h2>")
    );
    let variables = [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", "/module/mqtt_broker/other.cgi"),
    ];
    assert_eq!(router.ask("../bin/cgi", &variables, b"").status(), "404");
}

#[test]
fn head_has_no_body() {
    let answer = Router::new().ask("index.cgi", &[("REQUEST_METHOD", "HEAD")], b"");
    assert_eq!((answer.status(), answer.body.as_str()), ("200", ""));
}

#[test]
fn looking_changes_nothing() {
    let router = Router::new();
    let token = router.token();
    let query = format!("token={token}&mqtt_port=8883&mqtt_enabled=on&button=Apply");
    for page in ["index.cgi", "status.cgi", "slog.cgi"] {
        assert_eq!(router.get(page, &query).status(), "200");
    }
    let answer = router.get("set.cgi", &query);
    assert_eq!(
        (answer.status(), answer.header("Location")),
        ("303", Some("index.cgi"))
    );
    router.assert_untouched("");
}

#[test]
fn other_methods_are_refused() {
    let router = Router::new();
    for method in ["PUT", "DELETE", "TRACE", "post"] {
        assert_eq!(
            router
                .ask("set.cgi", &[("REQUEST_METHOD", method)], b"")
                .status(),
            "405"
        );
    }
    let answer = router.ask("status.cgi", &[("REQUEST_METHOD", "POST")], b"");
    assert_eq!(
        (answer.status(), answer.header("Allow")),
        ("405", Some("GET, HEAD"))
    );
}

#[test]
fn hostile_requests_are_refused_with_a_page() {
    let router = Router::new();
    let post = |length: &str, kind: &str, body: &[u8]| {
        let variables = [
            ("REQUEST_METHOD", "POST"),
            ("CONTENT_LENGTH", length),
            ("CONTENT_TYPE", kind),
        ];
        router.ask("set.cgi", &variables, body)
    };
    for (length, kind, body, status) in [
        ("", FORM, "", "411"),
        ("x", FORM, "", "400"),
        ("-1", FORM, "", "400"),
        ("100", FORM, "mqtt_port=1", "400"),
        ("1048577", FORM, "", "413"),
        ("99999999999999999999", FORM, "", "413"),
        ("11", "text/plain", "mqtt_port=1", "415"),
        (
            "11",
            "multipart/form-data; boundary=x",
            "mqtt_port=1",
            "415",
        ),
        ("11", "", "mqtt_port=1", "415"),
        ("0", FORM, "", "403"),
    ] {
        let answer = post(length, kind, body.as_bytes());
        assert_eq!(answer.status(), status, "{length} {kind}");
        assert!(answer.body.contains("<a href=\"index.cgi\">Back</a>"));
    }
    assert_eq!(
        post("1048576", FORM, &vec![b'&'; 1_048_576]).status(),
        "403"
    );
    assert_eq!(
        post("1048576", FORM, &b"a=&".repeat(349_526)[..1_048_576]).status(),
        "400"
    );
    assert_eq!(router.ask("index.cgi", &[], b"").status(), "400");
    router.assert_untouched("");
}

#[test]
fn the_overview_tells_what_the_broker_says() {
    let router = Router::new();
    assert!(
        router
            .get("status.cgi", "")
            .body
            .contains("The broker is disabled.")
    );
    let socket =
        UnixListener::bind(router.scratch.path("var/run/mqtt_broker.sock")).expect("a socket");
    let broker = thread::spawn(move || {
        let (mut stream, _) = socket.accept().expect("a caller");
        let account = br#"{"version":"1.0.0","uptime":60,"listening":true,"port":1883,"tls":"none","authentication":"none","clients":3,
            "refusals":[{"seconds_ago":12,"address":"192.168.1.7","reason":"wrong <user>","count":2}],"new":{}}"#;
        stream.write_all(account).expect("it is read");
    });
    let page = router.get("status.cgi", "").body;
    broker.join().expect("the broker's thread");
    for part in [
        "Running</strong>",
        "(0:01:00)",
        "192.168.1.7",
        "wrong &lt;user&gt; (2 times)",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[test]
fn the_log_shows_the_brokers_lines_first() {
    let router = Router::new();
    fs::write(
        router.scratch.path("var/log/messages.1"),
        "t mqtt_broker[1]: old\n",
    )
    .expect("a log");
    fs::write(
        router.scratch.path("var/log/messages"),
        "t pppd: up\nt mqtt_broker[1]: <new>\n",
    )
    .expect("a log");
    let page = router.get("slog.cgi", "").body;
    assert!(page.contains("t mqtt_broker[1]: old\nt mqtt_broker[1]: &lt;new&gt;\n</pre>"));
    assert!(!page.contains("pppd"));
    assert!(router.get("slog.cgi", "all=1").body.contains("t pppd: up"));
}
