//! The body of a posted form is taken exactly, or refused with a reason.

use std::collections::HashSet;

use settings::form::{self, FormError};
use settings::{FIELDS, Values};

use crate::file;

pub(crate) fn check(data: &[u8]) {
    let pairs = form::pairs(data);
    let mut expected = decoded(data);
    if let Ok(decoded) = &expected
        && has_duplicates(decoded)
    {
        assert!(matches!(pairs, Err(FormError::Duplicate(_))));
        expected = pairs.clone();
    }
    assert_eq!(pairs, expected);
    let mut stored = Values::defaults();
    for field in FIELDS.iter().filter(|field| field.secret) {
        stored.set(field.key, b"stored".to_vec());
    }
    match form::submitted(&stored, data, &["token"]) {
        Ok(values) => {
            assert!(pairs.is_ok());
            file::written(&values);
            file::judged(&values);
            // Sent once more, it changes nothing.
            assert_eq!(
                form::submitted(&values, data, &["token"]),
                Ok(values.clone())
            );
            for field in FIELDS {
                let name = form::form_name(field.key);
                let is_sent = pairs
                    .iter()
                    .flatten()
                    .any(|(sent, _)| sent.starts_with(&name));
                assert!(is_sent || values.get(field.key) == stored.get(field.key));
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.ends_with('.'), "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
}

/// The pairs in the body, read once more: pieces between `&`, each cut at its first `=`, then decoded.
fn decoded(body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let all = bytes(body)?;
    if all.contains(&0) {
        return Err(FormError::Nul);
    }
    String::from_utf8(all).map_err(|_| FormError::Encoding)?;
    for piece in body.split(|&byte| byte == b'&') {
        if piece.is_empty() {
            continue;
        }
        let equals = piece.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (piece, &[][..]),
        };
        let text = |part| String::from_utf8(bytes(part)?).map_err(|_| FormError::Encoding);
        pairs.push((text(name)?, text(value)?));
    }
    Ok(pairs)
}

fn has_duplicates(pairs: &[(String, String)]) -> bool {
    let names: HashSet<_> = pairs.iter().map(|(name, _)| name).collect();
    names.len() < pairs.len()
}

/// Percent-decodes.
fn bytes(part: &[u8]) -> Result<Vec<u8>, FormError> {
    let mut bytes = Vec::new();
    let mut rest = part.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).copied().collect();
                let is_hexadecimal = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
                if !is_hexadecimal {
                    return Err(FormError::Escape);
                }
                let digits = str::from_utf8(&digits).expect("ASCII");
                u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
            }
            other => other,
        });
    }
    Ok(bytes)
}
