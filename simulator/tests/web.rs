//! The pages: login, CGI programs, plain files, and requests that are none.

mod desk;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixDatagram;
use std::{fs, str};

use desk::{Desk, LOGIN, Package, Reply, Simulator};
use rustix::process::Signal;

fn with_module(desk: &Desk, options: &[&str]) -> Simulator {
    let package = desk.package("app.tgz", &Package::module("app", "1.0"));
    desk.start(&[options, &["--install", &package]].concat())
}

#[test]
fn the_login() {
    let desk = Desk::new();
    let simulator = with_module(&desk, &[]);
    for path in [
        "/module.cgi",
        "/module/app/index.cgi",
        "/module/app/style.css",
        "/module/app/absent",
    ] {
        for fields in [
            "",
            "Authorization: Basic cm9vdDp3cm9uZw==\r\n",
            "Authorization: Basic ?\r\n",
        ] {
            let reply = simulator.get_with(path, fields);
            assert_eq!(reply.status, 401, "{path}");
            assert!(
                reply
                    .field("WWW-Authenticate")
                    .unwrap()
                    .starts_with("Basic realm=")
            );
        }
    }
    assert_eq!(simulator.get("/module.cgi").status, 200);
    assert_eq!(
        simulator.get_with("/", "").field("Location"),
        Some("/module.cgi")
    );
    fs::remove_file(desk.root().join("etc/htpasswd")).unwrap();
    assert_eq!(
        simulator.get("/module/app/style.css").status,
        403,
        "a broken login locks"
    );
    assert!(simulator.end(Signal::TERM).success());

    // The file is kept, unless a login is given.
    let simulator = desk.start(&["--user", "admin", "--password", "secret"]);
    assert_eq!(simulator.get("/module.cgi").status, 401);
    simulator.end(Signal::TERM);
    let simulator = desk.start(&[]);
    assert_eq!(
        simulator
            .get_with("/module.cgi", "Authorization: Basic YWRtaW46c2VjcmV0\r\n")
            .status,
        200
    );
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn a_cgi_program() {
    let desk = Desk::new();
    let simulator = with_module(&desk, &[]);
    let reply = simulator.post(
        "/module/app/index.cgi/more?a=%20b",
        "text/plain",
        b"the body",
    );
    assert_eq!(reply.status, 200);
    let text = reply.text();
    let lines: Vec<&str> = text.lines().collect();
    let www = desk.root().join("opt/app/www");
    for line in [
        &format!("name={}/index.cgi", www.display()),
        &format!("directory={}", www.display()),
        &format!("HTTP_HOST={}", simulator.address),
        &format!("SERVER_PORT={}", simulator.address.port()),
        "QUERY_STRING=a=%20b",
        "PATH_INFO=/more",
        "SCRIPT_NAME=/module/app/index.cgi",
        "REMOTE_USER=root",
        "REMOTE_ADDR=127.0.0.1",
        "CONTENT_TYPE=text/plain",
        "CONTENT_LENGTH=8",
        "body=the body",
    ] {
        assert!(lines.contains(&line), "{line} is missing in {text}");
    }
    assert!(
        !text.contains("cm9vdDpyb290"),
        "the router's password is not the program's business"
    );
    assert!(lines.iter().any(|line| line.starts_with("PATH=/sbin:")));
    let inherited = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    assert!(!text.contains(&format!("CARGO_MANIFEST_DIR={inherited}")));

    let moved = simulator.get("/module/app/index.cgi?moved");
    assert_eq!(
        (moved.status, moved.field("Location")),
        (303, Some("index.cgi?done"))
    );
    assert_eq!(
        simulator.get("/module/app/").field("Location"),
        Some("/module/app/index.cgi")
    );
    assert_eq!(simulator.get("/module/app/index.cgi?silent").status, 502);
    simulator.log_line("/module/app/index.cgi: exit status: 3");
    assert_eq!(simulator.get("/module/app/index.cgi?broken").status, 502);
    assert_eq!(simulator.get("/module/app/index.cgi?errors").status, 200);
    simulator.log_line("/module/app/index.cgi: a complaint");
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn hidden_variables() {
    let desk = Desk::new();
    let simulator = with_module(&desk, &["--hide", "HTTP_HOST,HTTP_ORIGIN,HTTP_REFERER"]);
    let fields =
        format!("{LOGIN}Origin: http://router\r\nReferer: http://router/\r\nAccept: a/b\r\n");
    let text = simulator.get_with("/module/app/index.cgi", &fields).text();
    assert!(text.contains("HTTP_ACCEPT=a/b"));
    assert!(
        !text.contains("HTTP_HOST")
            && !text.contains("HTTP_ORIGIN")
            && !text.contains("HTTP_REFERER"),
        "{text}"
    );
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn plain_files() {
    let desk = Desk::new();
    let simulator = with_module(&desk, &[]);
    let reply = simulator.get("/module/app/style.css");
    assert_eq!(
        (reply.status, reply.field("Content-Type")),
        (200, Some("text/css; charset=utf-8"))
    );
    assert_eq!(reply.text(), "p { color: red }");
    let head = format!("HEAD /module/app/style.css HTTP/1.1\r\nHost: x\r\n{LOGIN}\r\n");
    let reply = simulator.raw(head.as_bytes());
    assert_eq!(
        (reply.field("Content-Length"), reply.body.len()),
        (Some("16"), 0)
    );
    assert_eq!(
        simulator.post("/module/app/style.css", "a/b", b"").status,
        405
    );
    for path in [
        "/module/app/.htpasswd",
        "/module/app/../etc/init",
        "/module/app/%2e%2e/etc/init",
        "/module/app/..%2fetc/init",
        "/module/calls-data/calls",
        "/module/absent/",
        "/etc/htpasswd",
        "/module",
    ] {
        assert_eq!(simulator.get(path).status, 404, "{path}");
    }
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn hostile_requests() {
    let desk = Desk::new();
    let simulator = with_module(&desk, &[]);
    let post =
        |path: &str, fields: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    for (request, status) in [
        ("\x16\x03\x01\r\n\r\n".to_owned(), 400),
        ("GET /module.cgi HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "DELETE /module.cgi HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            501,
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000)),
            431,
        ),
        (post("/module.cgi", LOGIN), 411),
        (
            post(
                "/module.cgi",
                &format!("{LOGIN}Content-Length: 99999999999\r\n"),
            ),
            413,
        ),
        (post("/module.cgi", "Content-Length: 99999999999\r\n"), 401),
        (
            post(
                "/module/app/index.cgi",
                &format!("{LOGIN}Content-Length: 8388609\r\n"),
            ),
            413,
        ),
        (
            post(
                "/module.cgi",
                &format!("{LOGIN}Transfer-Encoding: chunked\r\n"),
            ),
            501,
        ),
        (
            post("/module.cgi", &format!("{LOGIN}Content-Length: 0\r\n")),
            403,
        ),
        (
            post(
                "/module/app/index.cgi",
                &format!("{LOGIN}Content-Length: 3\r\n"),
            ) + "abcdef",
            200,
        ),
    ] {
        assert_eq!(
            simulator.raw(request.as_bytes()).status,
            status,
            "{request:.80}"
        );
    }
    for (kind, body) in [
        ("multipart/form-data", ""),
        ("multipart/form-data; boundary=B", "--B\r\n"),
        ("a/b", "token=%ff"),
    ] {
        assert!(
            [400, 403].contains(&simulator.post("/module.cgi", kind, body.as_bytes()).status),
            "{kind}"
        );
    }
    // A refused upload that is still on its way: the answer arrives all the same.
    let head = post("/module.cgi", "Content-Length: 5000000\r\n");
    let request = [head.as_bytes(), &vec![b'x'; 5_000_000]].concat();
    assert_eq!(simulator.raw(&request).status, 401);
    // Half a request and no further word: the client goes away, the simulator stays.
    drop(simulator.connect().write_all(b"GET / HT"));
    assert_eq!(simulator.get("/module.cgi").status, 200);
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn a_client_that_asks_before_it_sends() {
    let desk = Desk::new();
    let simulator = with_module(&desk, &[]);
    let head = |length: usize| {
        format!(
            "POST /module/app/index.cgi HTTP/1.1\r\nHost: x\r\n{LOGIN}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut stream = simulator.connect();
    stream.write_all(head(4).as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(
        str::from_utf8(&interim).unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"late").unwrap();
    assert!(Reply::read(stream).text().ends_with("body=late\n"));
    assert_eq!(simulator.raw(head(1 << 30).as_bytes()).status, 413);
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn the_system_log() {
    let desk = Desk::new();
    let simulator = desk.start(&[]);
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(desk.root().join("dev/log")).unwrap();
    socket
        .send(
            b"<11>Nov 23 02:10:07 app[7]: first\nNov 23 02:10:07 router user.err app[7]: forged\n",
        )
        .unwrap();
    let line = simulator.log_line("forged");
    assert_eq!(
        line,
        "Nov 23 02:10:07 router user.err app[7]: first Nov 23 02:10:07 router user.err app[7]: forged"
    );
    socket.send(b"no priority, no time, \x1b[31m\xff").unwrap();
    let line = simulator.log_line("no time, ^[[31m\u{fffd}");
    assert!(line.contains(" router user.notice no priority"), "{line}");
    assert!(simulator.end(Signal::TERM).success());
}
