//! HTTP/1.1 as a small web server speaks it (RFC 9112): one request on a connection, then it is closed.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::within;

/// Request line and header fields together.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;

/// For the head, which a client sends at once.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// For the body, and for sending the answer.
const BODY_TIME: Duration = Duration::from_secs(120);
/// For what a client still sends after it was answered; most go away at once.
const LINGER_TIME: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        }
    }
}

/// Everything before the body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// As sent: percent-encoded, from the first slash to the question mark.
    pub(crate) path: String,
    /// As sent, without the question mark.
    pub(crate) query: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) length: Option<u64>,
    expects_continue: bool,
}

impl Head {
    /// The first field of this name, which is given in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_slice())
    }
}

/// A request that gets an error instead of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) sentence: &'static str,
}

fn refuse<T>(status: u16, sentence: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, sentence })
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let fields = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Response {
            status,
            fields,
            body: body.into(),
        }
    }

    pub(crate) fn redirect(to: &str) -> Response {
        Response::new(302, "text/plain; charset=utf-8", "").with("Location", to)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Response {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// One client, from its request to its answer.
pub(crate) struct Exchange<S> {
    stream: S,
    /// Read, but not taken: the start of the body.
    ahead: Vec<u8>,
    /// Bytes of the body that were not read.
    unread: u64,
    expects_continue: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    pub(crate) fn new(stream: S) -> Exchange<S> {
        Exchange {
            stream,
            ahead: Vec::new(),
            unread: 0,
            expects_continue: false,
        }
    }

    /// The head of the request; nothing if the client went away or never said a word.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>, Refusal> {
        let read = within(HEAD_TIME, async {
            loop {
                if let Some((head, length)) = parse(&self.ahead)? {
                    self.ahead.drain(..length);
                    return Ok(Some(head));
                }
                let mut chunk = [0; 4096];
                match self.stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return Ok(None),
                    Ok(length) => self.ahead.extend_from_slice(&chunk[..length]),
                }
            }
        })
        .await;
        let head = match read {
            Some(read) => read?,
            None if self.ahead.is_empty() => None,
            None => return refuse(408, "The request took too long."),
        };
        if let Some(head) = &head {
            let length = head.length.unwrap_or(0);
            self.ahead
                .truncate(usize::try_from(length).unwrap_or(usize::MAX));
            self.unread = length.saturating_sub(self.ahead.len() as u64);
            self.expects_continue = head.expects_continue;
        }
        Ok(head)
    }

    /// The body, if it is no longer than `limit`.
    pub(crate) async fn body(&mut self, limit: u64) -> Result<Vec<u8>, Refusal> {
        if self.unread.saturating_add(self.ahead.len() as u64) > limit {
            return refuse(413, "The request is larger than the router takes.");
        }
        let read = within(BODY_TIME, async {
            if self.expects_continue && self.ahead.is_empty() && self.unread > 0 {
                self.stream
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .await?;
            }
            let mut body = std::mem::take(&mut self.ahead);
            let mut chunk = vec![0; 64 * 1024];
            while self.unread > 0 {
                let wanted = chunk
                    .len()
                    .min(usize::try_from(self.unread).unwrap_or(usize::MAX));
                let length = self.stream.read(&mut chunk[..wanted]).await?;
                if length == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                body.extend_from_slice(&chunk[..length]);
                self.unread -= length as u64;
            }
            Ok(body)
        })
        .await;
        match read {
            Some(Ok(body)) => Ok(body),
            Some(Err(_)) => refuse(400, "The request was cut short."),
            None => refuse(408, "The request took too long."),
        }
    }

    /// Sends the answer and ends the connection. `bodiless` for the answer to HEAD.
    pub(crate) async fn answer(mut self, response: Response, bodiless: bool) {
        let mut bytes = head_of(&response).into_bytes();
        if !bodiless {
            bytes.extend_from_slice(&response.body);
        }
        let sent = within(BODY_TIME, async {
            self.stream.write_all(&bytes).await?;
            self.stream.close().await
        })
        .await;
        // Closing with anything unread would reset the connection, and the client might never see the answer.
        if matches!(sent, Some(Ok(()))) {
            let mut chunk = vec![0; 64 * 1024];
            within(LINGER_TIME, async {
                while matches!(self.stream.read(&mut chunk).await, Ok(1..)) {}
            })
            .await;
        }
    }
}

/// Status line and header fields.
fn head_of(response: &Response) -> String {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        response.status,
        reason(response.status)
    );
    for (name, value) in &response.fields {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(
        head,
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        response.body.len()
    );
    head
}

/// A head and its length, or nothing if more is to come.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(&bytes[..bytes.len().min(MAX_HEAD)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => {
            return refuse(431, "The head of the request is too long.");
        }
        Err(httparse::Error::TooManyHeaders) => {
            return refuse(431, "The request has too many header fields.");
        }
        Err(httparse::Error::Version) => {
            return refuse(505, "This version of HTTP is not spoken here.");
        }
        Err(_) => return refuse(400, "This is no HTTP request."),
    };
    // The parser is done, so all three are there.
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return refuse(400, "This is no HTTP request.");
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        _ => return refuse(501, "Only GET, HEAD and POST are served."),
    };
    let fields: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
        .collect();
    let only = |name: &str, sentence: &'static str| {
        let mut same = fields.iter().filter(|(known, _)| known == name);
        match (same.next(), same.next()) {
            (first, None) => Ok(first.map(|(_, value)| value.as_slice())),
            _ => refuse(400, sentence),
        }
    };
    // RFC 9112 section 3.2.
    if only("host", "The request names several hosts.")?.is_none() && version == 1 {
        return refuse(400, "The request names no host.");
    }
    if fields.iter().any(|(name, _)| name == "transfer-encoding") {
        return refuse(501, "A body in chunks is not taken; send Content-Length.");
    }
    let length_sent = match only("content-length", "The request has several lengths.")? {
        Some(digits) => match decimal(digits) {
            Some(length) => Some(length),
            None => return refuse(400, "The length of the request is no number."),
        },
        None if method == Method::Post => return refuse(411, "The request has no length."),
        None => None,
    };
    let expects_continue = match only("expect", "The request has several expectations.")? {
        Some(what) if what.eq_ignore_ascii_case(b"100-continue") => version == 1,
        Some(_) => return refuse(417, "Only 100-continue can be expected."),
        None => false,
    };
    let (path, query) = split_target(target)?;
    Ok(Some((
        Head {
            method,
            path,
            query,
            fields,
            length: length_sent,
            expects_continue,
        },
        length,
    )))
}

/// Path and query of a request target in origin form or absolute form (RFC 9112 section 3.2).
fn split_target(target: &str) -> Result<(String, String), Refusal> {
    let origin = match target.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("http://") => {
            target[7..].find('/').map_or("/", |at| &target[7 + at..])
        }
        _ => target,
    };
    if !origin.starts_with('/') {
        return refuse(400, "The request asks for no page.");
    }
    let origin = origin.split('#').next().unwrap_or_default();
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    Ok((path.to_owned(), query.to_owned()))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // `parse` alone would take a plus sign.
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Refusal> {
        parse(text.as_bytes()).map(|parsed| parsed.map(|(head, _)| head))
    }

    fn status(text: &str) -> u16 {
        head(text).unwrap_err().status
    }

    #[test]
    fn a_request() {
        let text = "POST /module/app/set.cgi?a=b?c HTTP/1.1\r\nHost: r\r\nContent-Length: 12\r\nX-Y: \u{e4}\r\n\r\nbody";
        let (head, length) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(&text[length..], "body");
        assert_eq!(
            (head.method, head.path.as_str(), head.query.as_str()),
            (Method::Post, "/module/app/set.cgi", "a=b?c")
        );
        assert_eq!(head.length, Some(12));
        assert_eq!(head.field("x-y"), Some("\u{e4}".as_bytes()));
        for cut in 0..length {
            assert!(parse(&text.as_bytes()[..cut]).unwrap().is_none(), "{cut}");
        }
    }

    #[test]
    fn targets() {
        let path = |target: &str| split_target(target).map(|(path, _)| path);
        assert_eq!(path("http://router/a?b").unwrap(), "/a");
        assert_eq!(path("HTTP://router").unwrap(), "/");
        assert_eq!(path("/a#b").unwrap(), "/a");
        for target in ["*", "a", "ftp://x/", "?", "äääääää/"] {
            assert_eq!(path(target).unwrap_err().status, 400, "{target}");
        }
    }

    #[test]
    fn hostile_requests() {
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
        assert!(head("GET / HTTP/1.0\r\n\r\n").is_ok());
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
        assert_eq!(status("PUT / HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: a\r\n\r\n"), 411);
        assert_eq!(
            status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
            501
        );
        for length in ["+1", "-1", "1,1", "", "0x1", "99999999999999999999"] {
            assert_eq!(
                status(&format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
                )),
                400
            );
        }
        assert_eq!(
            status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            400
        );
        assert_eq!(
            status("GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n"),
            417
        );
        assert_eq!(
            status("GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n"),
            400
        );
        assert_eq!(status("\x16\x03\x01\x02"), 400);
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65))),
            431
        );
        assert_eq!(status(&format!("GET /{}", "x".repeat(MAX_HEAD))), 431);
        assert_eq!(status("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), 505);
    }

    #[test]
    fn a_response() {
        let head = head_of(&Response::new(200, "text/html", "four").with("X", "y"));
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX: y\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
        );
    }
}
