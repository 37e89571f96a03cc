//! Runs a module's CGI program (RFC 3875) and reads what it answers.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use smol::process::Command;

use crate::http::{Head, Response};
use crate::script::ENVIRONMENT;
use crate::within;

/// Header fields of an answer.
const MAX_FIELDS: usize = 32;

/// What a program may write to standard error.
const MAX_ERRORS: usize = 16 * 1024;

/// How long they are awaited after the answer.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What a program may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) answer: usize,
}

pub(crate) const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    answer: 16 << 20,
};

/// Who asks for which page.
pub(crate) struct Call<'a> {
    pub(crate) head: &'a Head,
    /// The page's own name, of which the program is called by.
    pub(crate) program: &'a Path,
    pub(crate) script_name: &'a str,
    pub(crate) path_info: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) server: SocketAddr,
    pub(crate) client: SocketAddr,
    /// Variables that the program does not get.
    pub(crate) hide: &'a [&'static str],
}

#[derive(Debug)]
pub(crate) enum CgiError {
    NotStarted(io::Error),
    /// It runs, or something that it started holds its output open.
    TimedOut {
        ended: bool,
    },
    TooLong,
    Silent,
    Head(&'static str),
}

impl fmt::Display for CgiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CgiError::NotStarted(error) => write!(out, "it could not be started: {error}"),
            CgiError::TimedOut { ended: false } => write!(out, "it took too long and was killed"),
            CgiError::TimedOut { ended: true } => {
                write!(
                    out,
                    "it has ended, but what it started in the background still holds its output open"
                )
            }
            CgiError::TooLong => write!(out, "its answer is too long; it was killed"),
            CgiError::Silent => write!(out, "it ended without an answer"),
            CgiError::Head(why) => write!(out, "its answer has no valid head: {why}"),
        }
    }
}

/// What a program left behind, to be logged.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    pub(crate) errors: String,
    pub(crate) status: Option<ExitStatus>,
}

/// Runs the program; whoever drops the future kills it.
pub(crate) async fn run(
    call: &Call<'_>,
    body: &[u8],
    limits: Limits,
) -> (Result<Response, CgiError>, Remarks) {
    let mut remarks = Remarks::default();
    let mut child = match spawn(call) {
        Ok(child) => child,
        Err(error) => return (Err(CgiError::NotStarted(error)), remarks),
    };
    // All three were asked for.
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return (
            Err(CgiError::NotStarted(io::ErrorKind::BrokenPipe.into())),
            remarks,
        );
    };
    let mut answer = Vec::new();
    let mut errors = Vec::new();
    let reading = within(limits.time, async {
        let aside = async {
            let feed = async {
                // A program need not read what it was sent.
                let _ = stdin.write_all(body).await;
                drop(stdin);
            };
            smol::future::zip(feed, skim(&mut stderr, &mut errors)).await;
            // The answer decides when this is over.
            std::future::pending().await
        };
        let whole = smol::future::or(collect(stdout, limits.answer, &mut answer), aside).await;
        if whole {
            remarks.status = child.status().await.ok();
        }
        whole
    })
    .await;
    within(LAST_WORDS, skim(&mut stderr, &mut errors)).await;
    let result = match reading {
        Some(true) if answer.is_empty() => Err(CgiError::Silent),
        Some(true) => parse(&answer),
        Some(false) => Err(CgiError::TooLong),
        None => Err(CgiError::TimedOut {
            ended: matches!(child.try_status(), Ok(Some(_))),
        }),
    };
    if remarks.status.is_none() {
        // By its pid, and that alone.
        let _ = child.kill();
    }
    remarks.errors = String::from_utf8_lossy(&errors).into_owned();
    (result, remarks)
}

fn spawn(call: &Call<'_>) -> io::Result<smol::process::Child> {
    let directory = call.program.parent().unwrap_or(Path::new("/"));
    let mut command = std::process::Command::new(call.program);
    command
        .env_clear()
        .envs(ENVIRONMENT)
        .envs(environment(call))
        .current_dir(directory)
        .process_group(0);
    let mut command = Command::from(command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.spawn()
}

/// Reads to the end; whether there was no more than `limit`.
async fn collect(mut from: impl AsyncRead + Unpin, limit: usize, into: &mut Vec<u8>) -> bool {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return true,
            Ok(length) if into.len() + length > limit => return false,
            Ok(length) => into.extend_from_slice(&chunk[..length]),
        }
    }
}

/// Reads to the end, keeping what fits.
async fn skim(from: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let room = MAX_ERRORS - into.len();
        into.extend_from_slice(&chunk[..length.min(room)]);
    }
}

/// The meta-variables of RFC 3875 section 4.1.
fn environment(call: &Call<'_>) -> Vec<(OsString, OsString)> {
    let head = call.head;
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    let mut set = |name: &str, value: &OsStr| variables.push((name.into(), value.into()));
    set("GATEWAY_INTERFACE", OsStr::new("CGI/1.1"));
    set("SERVER_PROTOCOL", OsStr::new("HTTP/1.1"));
    set(
        "SERVER_SOFTWARE",
        OsStr::new(concat!("simulator/", env!("CARGO_PKG_VERSION"))),
    );
    // Brackets and all, section 4.1.14.
    set(
        "SERVER_NAME",
        OsStr::new(&match call.server.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }),
    );
    set("SERVER_PORT", OsStr::new(&call.server.port().to_string()));
    set("REQUEST_METHOD", OsStr::new(head.method.as_str()));
    set("QUERY_STRING", OsStr::new(&head.query));
    set("SCRIPT_NAME", OsStr::new(call.script_name));
    set("SCRIPT_FILENAME", call.program.as_os_str());
    set("REMOTE_ADDR", OsStr::new(&call.client.ip().to_string()));
    if !call.path_info.is_empty() {
        set("PATH_INFO", OsStr::new(call.path_info));
    }
    if let Some(user) = call.user {
        set("AUTH_TYPE", OsStr::new("Basic"));
        set("REMOTE_USER", OsStr::new(user));
    }
    if let Some(length) = head.length {
        set("CONTENT_LENGTH", OsStr::new(&length.to_string()));
    }
    if let Some(kind) = head.field("content-type") {
        set("CONTENT_TYPE", &OsString::from_vec(kind.to_vec()));
    }
    for (index, (name, value)) in head.fields.iter().enumerate() {
        // Not twice, not the password, and not HTTP_PROXY, which programs would take for their own setting.
        let is_own = matches!(
            name.as_str(),
            "content-length" | "content-type" | "authorization" | "proxy" | "expect"
        );
        // An underscore would let one field pass for another.
        let is_plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_first = head.fields[..index].iter().all(|(known, _)| known != name);
        let variable = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        if is_own || !is_plain || !is_first || call.hide.contains(&variable.as_str()) {
            continue;
        }
        let mut joined = value.clone();
        for (_, further) in head.fields[index + 1..]
            .iter()
            .filter(|(known, _)| known == name)
        {
            joined.extend_from_slice(if name == "cookie" { b"; " } else { b", " });
            joined.extend_from_slice(further);
        }
        set(&variable, &OsString::from_vec(joined));
    }
    variables
}

/// Reads an answer: header fields, an empty line, the body (RFC 3875 section 6).
fn parse(answer: &[u8]) -> Result<Response, CgiError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let (length, fields) = match httparse::parse_headers(answer, &mut fields) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        Ok(httparse::Status::Partial) => {
            return Err(CgiError::Head("the empty line after it is missing"));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(CgiError::Head("too many header fields"));
        }
        Err(_) => return Err(CgiError::Head("a line is no header field")),
    };
    let mut response = Response {
        status: 200,
        fields: Vec::new(),
        body: answer[length..].to_vec(),
    };
    let mut seen = Vec::new();
    let mut status = None;
    for field in fields.iter() {
        let value =
            std::str::from_utf8(field.value).map_err(|_| CgiError::Head("a value is not UTF-8"))?;
        let name = field.name.to_ascii_lowercase();
        let is_single = matches!(name.as_str(), "status" | "location" | "content-type");
        if is_single && seen.contains(&name) {
            return Err(CgiError::Head(
                "a field is there twice that may be there once",
            ));
        }
        match name.as_str() {
            "status" => {
                let code = value.split(' ').next().and_then(|code| code.parse().ok());
                let code = code.filter(|code| (200..600).contains(code));
                status =
                    Some(code.ok_or(CgiError::Head("the status is no number from 200 to 599"))?);
            }
            // The server's own business.
            "content-length" | "connection" | "transfer-encoding" | "keep-alive" => {}
            _ => response
                .fields
                .push((field.name.to_owned(), value.to_owned())),
        }
        seen.push(name);
    }
    let has = |name: &str| seen.iter().any(|known| known == name);
    if !has("content-type") && !has("location") && !has("status") {
        return Err(CgiError::Head(
            "it has neither Content-Type, nor Location, nor Status",
        ));
    }
    if !response.body.is_empty() && !has("content-type") {
        return Err(CgiError::Head("there is a page, but no Content-Type"));
    }
    response.status = status.unwrap_or(if has("location") { 302 } else { 200 });
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;
    use crate::http::Method;

    fn response(text: &str) -> Response {
        parse(text.as_bytes()).unwrap()
    }

    fn complaint(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn answers() {
        let page = response("Content-Type: text/html\n\n<p>\r\n");
        assert_eq!((page.status, page.body.as_slice()), (200, &b"<p>\r\n"[..]));
        assert_eq!(
            page.fields,
            [("Content-Type".to_owned(), "text/html".to_owned())]
        );
        assert_eq!(
            response("Status: 403 Forbidden\r\nContent-type: a/b\r\n\r\nno").status,
            403
        );
        let moved =
            response("Status: 303 See Other\r\nLocation: index.cgi\r\nContent-Length: 9\r\n\r\n");
        assert_eq!((moved.status, moved.fields.len()), (303, 1));
        assert_eq!(response("Location: /x\n\n").status, 302);
        let cookies = response("Set-Cookie: a\nSet-Cookie: b\nContent-Type: a/b\n\n");
        assert_eq!(cookies.fields.len(), 3);
    }

    #[test]
    fn answers_that_are_none() {
        assert!(complaint("<html>\n\n").contains("a line is no header field"));
        assert!(
            complaint("Content-Type: text/html\n").contains("the empty line after it is missing")
        );
        assert!(complaint("X: y\n\n").contains("neither Content-Type, nor Location, nor Status"));
        assert!(complaint("Location: /x\n\npage").contains("no Content-Type"));
        assert!(complaint("Status: 99\n\n").contains("no number from 200 to 599"));
        assert!(complaint("Status: \n\n").contains("no number from 200 to 599"));
        assert!(complaint("Content-Type: a/b\nContent-Type: a/b\n\n").contains("twice"));
        assert!(complaint(&format!("{}\n", "A: b\n".repeat(33))).contains("too many"));
    }

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut text = "POST /module/app/x.cgi?q=%20 HTTP/1.1\r\nHost: router\r\n".to_owned();
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        let mut exchange =
            crate::http::Exchange::new(smol::io::Cursor::new((text + "\r\n").into_bytes()));
        smol::block_on(exchange.head()).unwrap().unwrap()
    }

    fn call<'a>(head: &'a Head, program: &'a Path, hide: &'a [&'static str]) -> Call<'a> {
        Call {
            head,
            program,
            script_name: "/module/app/x.cgi",
            path_info: "/more",
            user: Some("root"),
            server: SocketAddr::from(([127, 0, 0, 1], 80)),
            client: SocketAddr::from(([127, 0, 0, 2], 1234)),
            hide,
        }
    }

    #[test]
    fn variables() {
        let head = head(&[
            ("Content-Length", "5"),
            ("Content-Type", "a/b"),
            ("Authorization", "Basic eDp5"),
            ("Proxy", "evil"),
            ("X_Under", "evil"),
            ("Origin", "http://router"),
            ("Referer", "http://router/x"),
            ("Accept", "a"),
            ("Accept", "b"),
        ]);
        assert_eq!(head.method, Method::Post);
        let program = PathBuf::from("/r/opt/app/www/x.cgi");
        let variables = environment(&call(&head, &program, &["HTTP_ORIGIN", "HTTP_HOST"]));
        let mut shown: Vec<String> = variables
            .iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .filter(|line| !line.starts_with("SERVER_SOFTWARE="))
            .collect();
        shown.sort();
        assert_eq!(
            shown,
            [
                "AUTH_TYPE=Basic",
                "CONTENT_LENGTH=5",
                "CONTENT_TYPE=a/b",
                "GATEWAY_INTERFACE=CGI/1.1",
                "HTTP_ACCEPT=a, b",
                "HTTP_REFERER=http://router/x",
                "PATH_INFO=/more",
                "QUERY_STRING=q=%20",
                "REMOTE_ADDR=127.0.0.2",
                "REMOTE_USER=root",
                "REQUEST_METHOD=POST",
                "SCRIPT_FILENAME=/r/opt/app/www/x.cgi",
                "SCRIPT_NAME=/module/app/x.cgi",
                "SERVER_NAME=127.0.0.1",
                "SERVER_PORT=80",
                "SERVER_PROTOCOL=HTTP/1.1",
            ]
        );
    }

    fn run_fixture(
        name: &str,
        body: &[u8],
        limits: Limits,
    ) -> (Result<Response, CgiError>, Remarks) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/scripts")
            .join(name);
        let head = head(&[("Content-Length", &body.len().to_string())]);
        smol::block_on(run(&call(&head, &program, &[]), body, limits))
    }

    #[test]
    fn a_program_echoes_more_than_a_pipe_holds() {
        let body = vec![b'x'; 1 << 20];
        let (response, remarks) = run_fixture("echo.cgi", &body, LIMITS);
        assert_eq!(response.unwrap().body, body);
        assert_eq!(remarks.errors, "echoed\n");
        assert_eq!(remarks.status.unwrap().code(), Some(0));
    }

    #[test]
    fn limits_hold() {
        let short = Limits {
            answer: 1000,
            ..LIMITS
        };
        let (response, _) = run_fixture("echo.cgi", &[b'x'; 5000], short);
        assert!(matches!(response, Err(CgiError::TooLong)));
        let started = Instant::now();
        let hasty = Limits {
            time: Duration::from_millis(300),
            ..LIMITS
        };
        let (response, _) = run_fixture("hang.sh", b"", hasty);
        assert!(matches!(response, Err(CgiError::TimedOut { ended: false })));
        assert!(started.elapsed() < LIMITS.time);
        assert!(matches!(
            run_fixture("absent.cgi", b"", LIMITS).0,
            Err(CgiError::NotStarted(_))
        ));
    }
}
