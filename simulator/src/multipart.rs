//! Reads a `multipart/form-data` body (RFC 7578), which is how a browser sends a file.

use std::fmt;

/// More than a form of this router has.
const MAX_PARTS: usize = 16;

/// Header lines of one part.
const MAX_HEADERS: usize = 8;

/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY: usize = 70;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The field's name.
    pub(crate) name: String,
    pub(crate) content: &'a [u8],
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MultipartError {
    NoBoundary,
    CutShort,
    Headers,
    NoName,
    TooManyParts,
}

impl fmt::Display for MultipartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            MultipartError::NoBoundary => "the form has no boundary between its fields",
            MultipartError::CutShort => "the form is cut short",
            MultipartError::Headers => "a field of the form has no valid heading",
            MultipartError::NoName => "a field of the form has no name",
            MultipartError::TooManyParts => "the form has too many fields",
        })
    }
}

/// Whether a body of this type is read here.
pub(crate) fn is_multipart(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"))
}

pub(crate) fn parse<'a>(
    content_type: &str,
    body: &'a [u8],
) -> Result<Vec<Part<'a>>, MultipartError> {
    let boundary = parameter(content_type, "boundary").ok_or(MultipartError::NoBoundary)?;
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return Err(MultipartError::NoBoundary);
    }
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter has no line before it unless there is a preamble.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => split(body, &delimiter).ok_or(MultipartError::CutShort)?.1,
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == MAX_PARTS {
            return Err(MultipartError::TooManyParts);
        }
        rest = rest.strip_prefix(b"\r\n").ok_or(MultipartError::CutShort)?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let (length, headers) = match httparse::parse_headers(rest, &mut headers) {
            Ok(httparse::Status::Complete(parsed)) => parsed,
            Ok(httparse::Status::Partial) => return Err(MultipartError::CutShort),
            Err(_) => return Err(MultipartError::Headers),
        };
        let disposition = headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-disposition"))
            .and_then(|header| std::str::from_utf8(header.value).ok())
            .ok_or(MultipartError::Headers)?;
        let name = parameter(disposition, "name").ok_or(MultipartError::NoName)?;
        let (content, after) =
            split(&rest[length..], &delimiter).ok_or(MultipartError::CutShort)?;
        parts.push(Part { name, content });
        rest = after;
    }
}

/// The value of `; name=value` or `; name="value"`; browsers escape a quote in it as `%22`.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header;
    loop {
        rest = rest.split_once(';')?.1.trim_start();
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = after;
    }
}

/// What lies before and after the first `needle`.
fn split<'a>(hay: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut from = 0;
    loop {
        // The boundary starts with a carriage return: few of them need a closer look.
        let at = from + hay[from..].iter().position(|byte| *byte == needle[0])?;
        if hay[at..].starts_with(needle) {
            return Some((&hay[..at], &hay[at + needle.len()..]));
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----x";

    #[test]
    fn as_a_browser_sends_it() {
        let body = b"------x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nabc\r\n\
            ------x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a;name=b.tgz\"\r\n\
            Content-Type: application/gzip\r\n\r\n\x1f\x8b\r\n\r\n------\r\n\r\n------x--\r\n";
        let parts = parse(TYPE, body).unwrap();
        assert_eq!(
            parts[0],
            Part {
                name: "token".to_owned(),
                content: b"abc"
            }
        );
        assert_eq!(
            parts[1],
            Part {
                name: "file".to_owned(),
                content: b"\x1f\x8b\r\n\r\n------\r\n"
            }
        );
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn an_empty_part_and_a_preamble() {
        let body = b"hello\r\n--b\r\ncontent-disposition: form-data; name=a\r\n\r\n\r\n--b--";
        let parts = parse("multipart/form-data; charset=x; boundary=\"b\"", body).unwrap();
        assert_eq!(
            parts,
            [Part {
                name: "a".to_owned(),
                content: b""
            }]
        );
        assert_eq!(parse(TYPE, b"------x--").unwrap(), []);
    }

    #[test]
    fn what_is_refused() {
        let disposition = "Content-Disposition: form-data; name=a";
        let one = format!("------x\r\n{disposition}\r\n\r\nv\r\n");
        for (body, error) in [
            (String::new(), MultipartError::CutShort),
            ("------x".to_owned(), MultipartError::CutShort),
            ("------x\r\n".to_owned(), MultipartError::CutShort),
            (one.clone(), MultipartError::CutShort),
            (format!("{one}------x"), MultipartError::CutShort),
            (
                "------x\r\n\r\nv\r\n------x--".to_owned(),
                MultipartError::Headers,
            ),
            (
                "------x\r\nContent-Disposition form\r\n\r\nv\r\n------x--".to_owned(),
                MultipartError::Headers,
            ),
            (
                "------x\r\nContent-Disposition: form-data\r\n\r\nv\r\n------x--".to_owned(),
                MultipartError::NoName,
            ),
            (
                format!("------x\r\n{}\r\nv\r\n------x--", "A: b\r\n".repeat(9)),
                MultipartError::Headers,
            ),
            (
                format!("{}------x--", one.repeat(17)),
                MultipartError::TooManyParts,
            ),
        ] {
            assert_eq!(parse(TYPE, body.as_bytes()), Err(error), "{body:?}");
        }
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"x",
        ] {
            assert_eq!(
                parse(kind, one.as_bytes()),
                Err(MultipartError::NoBoundary),
                "{kind}"
            );
        }
    }

    #[test]
    fn types() {
        assert!(is_multipart("Multipart/Form-Data; boundary=x"));
        assert!(!is_multipart("application/x-www-form-urlencoded"));
        assert!(!is_multipart("multipart/form-data2"));
    }
}
