//! The request as the web server hands it over: environment variables and standard input (RFC
//! 3875).
//!
//! All of it is hostile. Which web server the router has is not known, so a variable may be
//! missing, but one that is there is taken at its word or the request is refused.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::response::{Refusal, Status};

/// The most that a form may have: some twenty times the longest certificate chain in use.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

const FORM: &str = "application/x-www-form-urlencoded";

/// The variables of one request.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    variables: HashMap<String, OsString>,
}

/// The pages, each called by a link of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// `index.cgi`: the form.
    Global,
    /// `set.cgi`: what the form is posted to.
    Set,
    /// `status.cgi`
    Overview,
    /// `slog.cgi`
    SystemLog,
}

/// The methods that any page knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
}

/// What Origin and Referer say about the page that sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// At least one was there and named this host.
    Ours,
    /// The web server passed on nothing to compare.
    Unknown,
    /// At least one named another host, or none.
    Foreign,
}

impl Environment {
    /// The variables of this process.
    pub(crate) fn of_process() -> Environment {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// A variable, if it is there, not empty and text. A web server that sets an absent header to
    /// the empty string says no more than one that leaves it out.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)?
            .to_str()
            .filter(|value| !value.is_empty())
    }

    /// The page asked for: by the name of the link that was called, else by the path in the
    /// address.
    pub(crate) fn page(&self, program: Option<&OsStr>) -> Result<Page, Refusal> {
        let called = program.and_then(OsStr::to_str).and_then(Page::from_path);
        called
            .or_else(|| self.get("SCRIPT_NAME").and_then(Page::from_path))
            .ok_or_else(|| {
                Refusal::new(
                    Status::NotFound,
                    "There is no such page in this router app.",
                )
            })
    }

    /// The request's method.
    pub(crate) fn method(&self) -> Result<Method, Refusal> {
        match self.get("REQUEST_METHOD") {
            Some("GET") => Ok(Method::Get),
            Some("HEAD") => Ok(Method::Head),
            Some("POST") => Ok(Method::Post),
            Some(_) => Err(not_allowed(
                "GET, HEAD, POST",
                "This page knows no such method.",
            )),
            None => Err(Refusal::new(
                Status::BadRequest,
                "The web server did not say what is asked for.",
            )),
        }
    }

    /// Whether the address has exactly this query.
    pub(crate) fn has_query(&self, query: &str) -> bool {
        self.get("QUERY_STRING") == Some(query)
    }

    /// Compares Origin and Referer with Host, so far as the web server passed them on.
    pub(crate) fn sender(&self) -> Sender {
        let Some(host) = self.get("HTTP_HOST") else {
            return Sender::Unknown;
        };
        let claims = ["HTTP_ORIGIN", "HTTP_REFERER"].map(|name| self.get(name));
        if claims
            .iter()
            .flatten()
            .any(|address| !is_at_host(address, host))
        {
            Sender::Foreign
        } else if claims.iter().any(Option::is_some) {
            Sender::Ours
        } else {
            Sender::Unknown
        }
    }

    /// The body of a posted form: all of it, or the reason why not.
    pub(crate) fn body(&self, input: impl Read + Send + 'static) -> Result<Vec<u8>, Refusal> {
        let length = self.body_length()?;
        let kind = self.get("CONTENT_TYPE").unwrap_or_default();
        if !is_form(kind) {
            let message = format!("A form in UTF-8 ({FORM}) is expected here, not \"{kind}\".");
            return Err(Refusal::new(Status::UnsupportedMediaType, message));
        }
        read_exactly(input, length, BODY_TIMEOUT)
    }

    fn body_length(&self) -> Result<usize, Refusal> {
        if self.get("HTTP_TRANSFER_ENCODING").is_some() && self.get("CONTENT_LENGTH").is_none() {
            return Err(no_length());
        }
        let digits = self.get("CONTENT_LENGTH").ok_or_else(no_length)?;
        // `parse` would take a sign as well.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::new(
                Status::BadRequest,
                "The announced length of the form is not a number.",
            ));
        }
        match digits.parse::<usize>() {
            Ok(length) if length <= MAX_BODY => Ok(length),
            _ => {
                let message = format!(
                    "The form is larger than {} KiB, the most that is taken here.",
                    MAX_BODY / 1024
                );
                Err(Refusal::new(Status::ContentTooLarge, message))
            }
        }
    }
}

impl FromIterator<(String, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, OsString)>>(variables: I) -> Environment {
        Environment {
            variables: variables.into_iter().collect(),
        }
    }
}

impl Page {
    fn from_path(path: &str) -> Option<Page> {
        match path.rsplit('/').next()? {
            "index.cgi" => Some(Page::Global),
            "set.cgi" => Some(Page::Set),
            "status.cgi" => Some(Page::Overview),
            "slog.cgi" => Some(Page::SystemLog),
            _ => None,
        }
    }
}

/// The answer to a method that a page does not have.
pub(crate) fn not_allowed(allow: &'static str, message: &str) -> Refusal {
    Refusal {
        allow: Some(allow),
        ..Refusal::new(Status::MethodNotAllowed, message)
    }
}

fn no_length() -> Refusal {
    Refusal::new(
        Status::LengthRequired,
        "The length of the form was not announced.",
    )
}

/// Whether the media type is that of a form in the only character set there is here.
fn is_form(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
    {
        return false;
    }
    parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

/// Whether an address lies at the host. `null`, the Origin of a page without one, does not.
fn is_at_host(address: &str, host: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // What stands before the last @ is a login, not a host.
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let without_port = |name: &str| {
        name.strip_suffix(default_port)
            .unwrap_or(name)
            .to_ascii_lowercase()
    };
    !authority.is_empty() && without_port(authority) == without_port(host)
}

/// Reads `length` bytes. The reading is left to a thread of its own, since a sender that stalls
/// must not keep this process for ever; the process ends with its main thread.
fn read_exactly(
    input: impl Read + Send + 'static,
    length: usize,
    timeout: Duration,
) -> Result<Vec<u8>, Refusal> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut body = Vec::new();
        let result = input
            .take(length as u64)
            .read_to_end(&mut body)
            .map(|_| body);
        // Nobody listens any more after the time-out.
        let _ = sender.send(result);
    });
    match receiver.recv_timeout(timeout) {
        Ok(Ok(body)) if body.len() == length => Ok(body),
        Ok(Ok(body)) => {
            let message = format!(
                "The form is incomplete: {} of {length} bytes arrived. Nothing was changed.",
                body.len()
            );
            Err(Refusal::new(Status::BadRequest, message))
        }
        Ok(Err(error)) => Err(Refusal::new(
            Status::BadRequest,
            format!("The form could not be read: {error}."),
        )),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Refusal::new(
            Status::RequestTimeout,
            "The form did not arrive in time. Nothing was changed.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
            .collect()
    }

    fn post(length: &str, kind: &str, body: &'static [u8]) -> Result<Vec<u8>, Refusal> {
        environment(&[("CONTENT_LENGTH", length), ("CONTENT_TYPE", kind)]).body(body)
    }

    fn status(result: Result<Vec<u8>, Refusal>) -> Status {
        result.expect_err("a refusal").status
    }

    #[test]
    fn the_link_names_the_page() {
        let nothing = environment(&[]);
        for (program, page) in [
            ("index.cgi", Page::Global),
            ("/opt/mqtt_broker/www/set.cgi", Page::Set),
            ("./status.cgi", Page::Overview),
            ("slog.cgi", Page::SystemLog),
        ] {
            assert_eq!(nothing.page(Some(OsStr::new(program))), Ok(page));
        }
    }

    #[test]
    fn the_address_names_the_page_when_the_link_does_not() {
        let environment = environment(&[("SCRIPT_NAME", "/module/mqtt_broker/slog.cgi")]);
        assert_eq!(
            environment.page(Some(OsStr::new("/opt/mqtt_broker/bin/cgi"))),
            Ok(Page::SystemLog)
        );
        assert_eq!(environment.page(None), Ok(Page::SystemLog));
        assert_eq!(
            environment.page(Some(OsStr::new("index.cgi"))),
            Ok(Page::Global)
        );
    }

    #[test]
    fn other_names_are_not_found() {
        for script in [
            "",
            "/",
            "/module/mqtt_broker/",
            "cgi",
            "INDEX.CGI",
            "index.cgi/",
            "xindex.cgi",
            "index.cgi?",
        ] {
            let environment = environment(&[("SCRIPT_NAME", script)]);
            assert_eq!(
                environment.page(None).expect_err(script).status,
                Status::NotFound
            );
        }
    }

    #[test]
    fn a_program_name_that_is_not_text_is_no_page() {
        let name = OsString::from_vec(b"\xFF/index.cgi".to_vec());
        assert!(environment(&[]).page(Some(&name)).is_err());
    }

    #[test]
    fn methods() {
        let method = |name| environment(&[("REQUEST_METHOD", name)]).method();
        assert_eq!(method("GET"), Ok(Method::Get));
        assert_eq!(method("HEAD"), Ok(Method::Head));
        assert_eq!(method("POST"), Ok(Method::Post));
        for other in ["PUT", "DELETE", "get", "G\u{e9}T", "OPTIONS"] {
            assert_eq!(
                method(other).expect_err(other).status,
                Status::MethodNotAllowed
            );
        }
        assert_eq!(
            environment(&[]).method().expect_err("none").status,
            Status::BadRequest
        );
    }

    #[test]
    fn a_whole_form_is_read() {
        assert_eq!(post("3", FORM, b"a=1"), Ok(b"a=1".to_vec()));
        assert_eq!(post("0", FORM, b""), Ok(Vec::new()));
    }

    #[test]
    fn no_more_than_announced_is_read() {
        assert_eq!(post("3", FORM, b"a=1&b=2"), Ok(b"a=1".to_vec()));
    }

    #[test]
    fn a_short_body_is_refused() {
        let refusal = post("10", FORM, b"a=1").expect_err("a refusal");
        assert_eq!(refusal.status, Status::BadRequest);
        assert!(refusal.message.contains("3 of 10 bytes"));
    }

    #[test]
    fn a_missing_length_is_refused() {
        assert_eq!(
            status(environment(&[("CONTENT_TYPE", FORM)]).body(&b""[..])),
            Status::LengthRequired
        );
        assert_eq!(status(post("", FORM, b"")), Status::LengthRequired);
        let chunked = environment(&[
            ("CONTENT_TYPE", FORM),
            ("HTTP_TRANSFER_ENCODING", "chunked"),
        ]);
        assert_eq!(status(chunked.body(&b"a=1"[..])), Status::LengthRequired);
    }

    #[test]
    fn a_length_that_is_no_number_is_refused() {
        for length in [
            "abc", "-1", "+3", "3 ", " 3", "3,3", "0x3", "3.0", "1e1", "٣",
        ] {
            assert_eq!(
                status(post(length, FORM, b"a=1")),
                Status::BadRequest,
                "{length}"
            );
        }
    }

    #[test]
    fn a_large_body_is_refused_unread() {
        struct Unread;
        impl Read for Unread {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                panic!("read although too large")
            }
        }
        for length in ["1048577", "4294967296", "99999999999999999999999999"] {
            let environment = environment(&[("CONTENT_LENGTH", length), ("CONTENT_TYPE", FORM)]);
            assert_eq!(status(environment.body(Unread)), Status::ContentTooLarge);
        }
    }

    #[test]
    fn the_largest_body_is_taken() {
        let environment = environment(&[("CONTENT_LENGTH", "1048576"), ("CONTENT_TYPE", FORM)]);
        assert_eq!(
            environment
                .body(std::io::repeat(b'a'))
                .map(|body| body.len()),
            Ok(MAX_BODY)
        );
    }

    #[test]
    fn only_forms_in_utf8_are_taken() {
        for kind in [
            FORM,
            "application/x-www-form-urlencoded; charset=UTF-8",
            "Application/X-WWW-Form-Urlencoded;charset=\"utf-8\"",
            "application/x-www-form-urlencoded;",
        ] {
            assert!(post("3", kind, b"a=1").is_ok(), "{kind}");
        }
        for kind in [
            "",
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/json",
            "application/x-www-form-urlencoded; charset=iso-8859-1",
            "application/x-www-form-urlencodedx",
            "text/plain; application/x-www-form-urlencoded",
        ] {
            assert_eq!(
                status(post("3", kind, b"a=1")),
                Status::UnsupportedMediaType,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("cut"))
            }
        }
        let environment = environment(&[("CONTENT_LENGTH", "3"), ("CONTENT_TYPE", FORM)]);
        assert_eq!(status(environment.body(Broken)), Status::BadRequest);
    }

    #[test]
    fn a_stalled_body_ends_in_a_timeout() {
        let (reader, writer) = std::io::pipe().unwrap();
        assert_eq!(
            status(read_exactly(reader, 3, Duration::from_millis(20))),
            Status::RequestTimeout
        );
        drop(writer);
    }

    #[test]
    fn a_form_of_this_host_is_ours() {
        for (host, origin) in [
            ("192.168.1.1", "http://192.168.1.1"),
            ("Router", "http://router"),
            ("router:8080", "http://router:8080"),
            ("router:80", "http://router"),
            ("router", "https://router:443"),
            ("[fc00:202::254]:8080", "http://[fc00:202::254]:8080"),
        ] {
            let environment = environment(&[("HTTP_HOST", host), ("HTTP_ORIGIN", origin)]);
            assert_eq!(environment.sender(), Sender::Ours, "{host} {origin}");
        }
    }

    #[test]
    fn a_form_of_another_host_is_foreign() {
        for origin in [
            "null",
            "http://evil.example",
            "http://router.evil.example",
            "http://router:81",
            "https://router:80",
            "http://router@evil.example",
            "http://",
            "http:///router",
            "file://router",
            "router",
            "http://evil.example\\@router",
        ] {
            let environment = environment(&[("HTTP_HOST", "router"), ("HTTP_ORIGIN", origin)]);
            assert_eq!(environment.sender(), Sender::Foreign, "{origin}");
        }
    }

    #[test]
    fn the_referer_counts_as_well() {
        let sender =
            |referer| environment(&[("HTTP_HOST", "router"), ("HTTP_REFERER", referer)]).sender();
        assert_eq!(
            sender("http://router/module/mqtt_broker/index.cgi"),
            Sender::Ours
        );
        assert_eq!(sender("http://router?x"), Sender::Ours);
        assert_eq!(
            sender("http://evil.example/?http://router/"),
            Sender::Foreign
        );
        assert_eq!(
            sender("http://evil.example/http://router/"),
            Sender::Foreign
        );
    }

    #[test]
    fn one_foreign_header_is_enough() {
        let environment = environment(&[
            ("HTTP_HOST", "router"),
            ("HTTP_ORIGIN", "http://router"),
            ("HTTP_REFERER", "http://evil.example/"),
        ]);
        assert_eq!(environment.sender(), Sender::Foreign);
    }

    #[test]
    fn nothing_to_compare_is_unknown() {
        assert_eq!(environment(&[]).sender(), Sender::Unknown);
        assert_eq!(
            environment(&[("HTTP_HOST", "router")]).sender(),
            Sender::Unknown
        );
        assert_eq!(
            environment(&[("HTTP_ORIGIN", "http://evil.example")]).sender(),
            Sender::Unknown
        );
        assert_eq!(
            environment(&[("HTTP_HOST", "router"), ("HTTP_ORIGIN", "")]).sender(),
            Sender::Unknown
        );
    }

    #[test]
    fn queries_are_compared_exactly() {
        let environment = environment(&[("QUERY_STRING", "applied=1")]);
        assert!(environment.has_query("applied=1"));
        assert!(!environment.has_query("applied"));
    }
}
