//! What goes back to the web server: a status, the headers every answer carries, and a page.

use std::io::{self, Write};

use crate::html::Html;
use crate::layout;

/// The Content-Security-Policy of every page: nothing but our own style sheet, script and form, and
/// no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// The status codes in use (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    SeeOther,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    LengthRequired,
    ContentTooLarge,
    UnsupportedMediaType,
    InternalServerError,
}

impl Status {
    /// Code and reason phrase as the CGI `Status` header wants them (RFC 3875 section 6.3.3).
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::SeeOther => "303 See Other",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::LengthRequired => "411 Length Required",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::UnsupportedMediaType => "415 Unsupported Media Type",
            Status::InternalServerError => "500 Internal Server Error",
        }
    }
}

/// A request that is answered with an error page, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    /// Whole sentences for the person at the browser.
    pub(crate) message: String,
    /// The methods that would have been right, for status 405 (RFC 9110 section 15.5.6).
    pub(crate) allow: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            message: message.into(),
            allow: None,
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Response {
    status: Status,
    header: Option<(&'static str, &'static str)>,
    body: Html,
}

impl Response {
    /// A page.
    pub(crate) fn page(body: Html) -> Response {
        Response {
            status: Status::Ok,
            header: None,
            body,
        }
    }

    /// The same page with another status.
    pub(crate) fn with_status(self, status: Status) -> Response {
        Response { status, ..self }
    }

    /// On to another of our pages, by GET (RFC 9110 section 15.4.4). The address is relative, since
    /// neither the scheme nor the host that the browser uses is known here for certain.
    pub(crate) fn see_other(location: &'static str) -> Response {
        let mut body = Html::new();
        body.raw("<!DOCTYPE html>\n<title>MQTT Broker</title>\n<p><a href=\"")
            .text(location)
            .raw("\">Continue</a></p>\n");
        Response {
            status: Status::SeeOther,
            header: Some(("Location", location)),
            body,
        }
    }

    /// Writes the answer as RFC 3875 section 6 has it; `with_body` is false for HEAD.
    pub(crate) fn write_to(&self, out: &mut dyn Write, with_body: bool) -> io::Result<()> {
        write!(out, "Status: {}\r\n", self.status.line())?;
        write!(out, "Content-Type: text/html; charset=utf-8\r\n")?;
        if let Some((name, value)) = self.header {
            write!(out, "{name}: {value}\r\n")?;
        }
        write!(out, "Cache-Control: no-store\r\n")?;
        write!(out, "Referrer-Policy: same-origin\r\n")?;
        write!(out, "X-Content-Type-Options: nosniff\r\n")?;
        write!(out, "X-Frame-Options: DENY\r\n")?;
        write!(out, "Content-Security-Policy: {POLICY}\r\n\r\n")?;
        if with_body {
            out.write_all(self.body.as_str().as_bytes())?;
        }
        out.flush()
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        Response {
            status: refusal.status,
            header: refusal.allow.map(|methods| ("Allow", methods)),
            body: layout::error_page(refusal.status.line(), &refusal.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, with_body: bool) -> String {
        let mut out = Vec::new();
        response
            .write_to(&mut out, with_body)
            .expect("a Vec takes everything");
        String::from_utf8(out).expect("pages are UTF-8")
    }

    #[test]
    fn every_answer_carries_the_security_headers() {
        for response in [
            Response::page(Html::new()),
            Response::see_other("index.cgi"),
            Response::from(Refusal::new(Status::BadRequest, "No.")),
        ] {
            let text = written(&response, true);
            let (head, _) = text
                .split_once("\r\n\r\n")
                .expect("a blank line ends the header");
            for header in [
                "Cache-Control: no-store",
                "Referrer-Policy: same-origin",
                "X-Content-Type-Options: nosniff",
                "X-Frame-Options: DENY",
                "Content-Type: text/html; charset=utf-8",
                "Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ] {
                assert!(
                    head.lines().any(|line| line == header),
                    "{header} is missing in {head}"
                );
            }
        }
    }

    #[test]
    fn the_status_comes_first() {
        assert!(written(&Response::page(Html::new()), true).starts_with("Status: 200 OK\r\n"));
        let refused = Response::from(Refusal::new(Status::ContentTooLarge, "Too much."));
        assert!(written(&refused, true).starts_with("Status: 413 Content Too Large\r\n"));
    }

    #[test]
    fn a_redirect_names_its_target() {
        let text = written(&Response::see_other("index.cgi?applied=1"), true);
        assert!(text.starts_with("Status: 303 See Other\r\n"));
        assert!(text.contains("\r\nLocation: index.cgi?applied=1\r\n"));
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let refusal = Refusal {
            allow: Some("GET, HEAD"),
            ..Refusal::new(Status::MethodNotAllowed, "No.")
        };
        assert!(written(&refusal.into(), true).contains("\r\nAllow: GET, HEAD\r\n"));
    }

    #[test]
    fn the_message_of_a_refusal_is_escaped() {
        let text = written(&Refusal::new(Status::BadRequest, "<b>\"x\"").into(), true);
        assert!(text.contains("&lt;b&gt;&quot;x&quot;"));
        assert!(!text.contains("<b>"));
    }

    #[test]
    fn head_gets_no_body() {
        let mut page = Html::new();
        page.raw("<p>page</p>");
        assert!(written(&Response::page(page), false).ends_with("\r\n\r\n"));
    }
}
