//! The form a browser sends: `application/x-www-form-urlencoded` against what is stored.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::problem::shown;
use crate::table::{FIELDS, Field, Kind};
use crate::values::Values;

/// The largest form that is read, in bytes: all fields at their longest, with some characters percent-encoded.
pub const MAX_FORM_BYTES: usize = 2 * 1024 * 1024;

/// The `name` attribute of a field's control. None is called "username" or "password": browsers would fill those in.
pub fn form_name(key: &str) -> String {
    match key {
        "USERNAME" => "mqtt_client_name".to_string(),
        "PASSWORD" => "mqtt_client_secret".to_string(),
        _ => format!("mqtt_{}", key.to_ascii_lowercase()),
    }
}

/// The check box (value `on`) that empties a secret: an empty field leaves it as it is.
pub fn clear_name(key: &str) -> String {
    form_name(key) + "_clear"
}

/// The hidden companion of a check box (any value): a browser sends nothing for a box that is not ticked.
pub fn marker_name(key: &str) -> String {
    form_name(key) + "_shown"
}

/// Why a request is refused as a whole: no browser sends the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormError {
    /// More than [`MAX_FORM_BYTES`].
    TooLarge,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// Not UTF-8 once decoded.
    Encoding,
    /// A NUL byte.
    Nul,
    /// This field twice.
    Duplicate(String),
    /// A field that the form does not have.
    Unknown(String),
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormError::TooLarge => write!(
                f,
                "The form is too large: at most {MAX_FORM_BYTES} bytes are taken."
            ),
            FormError::Escape => f.write_str(
                "The form is damaged: a percent sign is not followed by two hexadecimal digits.",
            ),
            FormError::Encoding => f.write_str("The form is damaged: its text is not UTF-8."),
            FormError::Nul => f.write_str("The form is refused: it contains a NUL byte."),
            FormError::Duplicate(name) => write!(
                f,
                "The form is refused: it contains the field \"{name}\" twice."
            ),
            FormError::Unknown(name) => write!(
                f,
                "The form is refused: it contains the unknown field \"{name}\"."
            ),
        }
    }
}

impl std::error::Error for FormError {}

/// The fields of a form, decoded: names and values. Each name stands once.
pub fn pairs(body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    if body.len() > MAX_FORM_BYTES {
        return Err(FormError::TooLarge);
    }
    // The decoder would mend what is broken; nothing here is to be mended silently.
    let decoded = percent_decoded(body)?;
    if decoded.contains(&0) {
        return Err(FormError::Nul);
    }
    if str::from_utf8(&decoded).is_err() {
        return Err(FormError::Encoding);
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(body).map_err(|_| FormError::Encoding)?;
    let mut names = HashSet::new();
    for (name, _) in &pairs {
        if !names.insert(name.as_str()) {
            return Err(FormError::Duplicate(shown(name.as_bytes())));
        }
    }
    Ok(pairs)
}

/// What a posted form makes of the `stored` values. `extra` names the fields that are none of ours, such as a token and the
/// button.
///
/// A field the form doesn't carry stays as it is, and so does a secret that is empty. Values are taken exactly, but for the
/// line ends of text areas, which browsers send as CR LF. They are not judged here.
pub fn submitted(stored: &Values, body: &[u8], extra: &[&str]) -> Result<Values, FormError> {
    let pairs = pairs(body)?;
    let mut sent: HashMap<&str, &str> = HashMap::with_capacity(pairs.len().min(64));
    sent.extend(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    for name in extra {
        sent.remove(name);
    }
    let mut values = stored.clone();
    for field in FIELDS.iter().filter(|field| field.in_form) {
        let value = sent.remove(form_name(field.key).as_str());
        let changed = match field.kind {
            Kind::Switch => {
                let shown = sent.remove(marker_name(field.key).as_str()).is_some();
                ticked(value, shown)
            }
            _ if field.secret => {
                let clear = sent
                    .remove(clear_name(field.key).as_str())
                    .is_some_and(|value| !value.is_empty());
                secret(field, value, clear)
            }
            _ => value.map(|value| text(field, value)),
        };
        if let Some(changed) = changed {
            values.set(field.key, changed.into_owned().into_bytes());
        }
    }
    match sent.keys().min() {
        Some(name) => Err(FormError::Unknown(shown(name.as_bytes()))),
        None => Ok(values),
    }
}

/// A ticked box sends `on` if it has no value of its own; anything strange is left to validation.
fn ticked(value: Option<&str>, shown: bool) -> Option<Cow<'_, str>> {
    match value {
        Some("on") => Some("1".into()),
        Some(value) => Some(value.into()),
        None => shown.then_some("0".into()),
    }
}

/// The box that clears counts more than text: a tick is deliberate, text may have been filled in by the browser.
fn secret<'a>(field: &Field, value: Option<&'a str>, clear: bool) -> Option<Cow<'a, str>> {
    if clear {
        return Some("".into());
    }
    value
        .filter(|value| !value.is_empty())
        .map(|value| text(field, value))
}

fn text<'a>(field: &Field, value: &'a str) -> Cow<'a, str> {
    match field.kind {
        Kind::Pem { .. } if value.contains("\r\n") => value.replace("\r\n", "\n").into(),
        _ => value.into(),
    }
}

fn percent_decoded(body: &[u8]) -> Result<Vec<u8>, FormError> {
    let digit = |at: usize| {
        body.get(at)
            .and_then(|&byte| char::from(byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut decoded = Vec::with_capacity(body.len());
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        if byte == b'%' {
            let (high, low) = digit(at + 1).zip(digit(at + 2)).ok_or(FormError::Escape)?;
            decoded.push(high << 4 | low);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTRA: &[&str] = &["token", "button"];

    fn stored() -> Values {
        let mut values = Values::defaults();
        for (key, value) in [
            ("ENABLED", "1"),
            ("PASSWORD", "old"),
            ("PRIVATE_KEY", "old"),
            ("USERNAME", "house"),
            ("OTHER", "x"),
        ] {
            values.set(key, value.into());
        }
        values
    }

    fn sent(body: &str) -> Values {
        submitted(&stored(), body.as_bytes(), EXTRA)
            .unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    fn changed(key: &str, value: &str) -> Values {
        let mut values = stored();
        values.set(key, value.into());
        values
    }

    #[test]
    fn what_is_not_sent_stays() {
        assert_eq!(sent(""), stored());
        assert_eq!(sent("&&token=abc&button=Apply&"), stored());
        assert_eq!(sent("mqtt_port=1884"), changed("PORT", "1884"));
    }

    #[test]
    fn values_are_taken_exactly() {
        assert_eq!(
            sent("mqtt_client_name=+a%2Bb%26%3d%25+"),
            changed("USERNAME", " a+b&=% ")
        );
        assert_eq!(
            sent("mqtt_client_name=%F0%9F%98%80é"),
            changed("USERNAME", "😀é")
        );
        assert_eq!(
            sent("mqtt_client_name=a%0D%0Ab"),
            changed("USERNAME", "a\r\nb")
        );
        assert_eq!(sent("mqtt_client_name"), changed("USERNAME", ""));
        assert_eq!(sent("mqtt_port="), changed("PORT", ""));
        assert_eq!(sent("mqtt_tls=strange"), changed("TLS", "strange"));
        // A replacement character that was really typed is no broken encoding.
        assert_eq!(
            sent("mqtt_client_name=%EF%BF%BD"),
            changed("USERNAME", "\u{fffd}")
        );
    }

    #[test]
    fn text_areas_have_plain_line_ends() {
        assert_eq!(
            sent("mqtt_certificate=a%0D%0A%0D%0Ab%0Dc%0A"),
            changed("CERTIFICATE", "a\n\nb\rc\n")
        );
        assert_eq!(
            sent("mqtt_private_key=a%0D%0A"),
            changed("PRIVATE_KEY", "a\n")
        );
    }

    #[test]
    fn a_check_box_is_off_only_where_it_was_shown() {
        assert_eq!(sent("mqtt_enabled_shown=1"), changed("ENABLED", "0"));
        for on in [
            "mqtt_enabled=on",
            "mqtt_enabled=1",
            "mqtt_enabled_shown=1&mqtt_enabled=on",
        ] {
            assert_eq!(sent(on), stored());
        }
        assert_eq!(sent("mqtt_enabled=yes"), changed("ENABLED", "yes"));
    }

    #[test]
    fn an_empty_secret_stays_until_it_is_cleared() {
        assert_eq!(sent("mqtt_client_secret="), stored());
        assert_eq!(sent("mqtt_client_secret=new"), changed("PASSWORD", "new"));
        assert_eq!(
            sent("mqtt_client_secret=&mqtt_client_secret_clear=on"),
            changed("PASSWORD", "")
        );
        assert_eq!(
            sent("mqtt_client_secret=filled&mqtt_client_secret_clear=on"),
            changed("PASSWORD", "")
        );
        assert_eq!(sent("mqtt_client_secret_clear="), stored());
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for (body, error) in [
            (&b"mqtt_port=%"[..], FormError::Escape),
            (b"mqtt_port=%4", FormError::Escape),
            (b"%zz=1", FormError::Escape),
            (b"mqtt_port=%+1", FormError::Escape),
            (b"mqtt_port=%FF", FormError::Encoding),
            (b"mqtt_port=\xff", FormError::Encoding),
            (b"mqtt_port=%C3&token=%A9", FormError::Encoding),
            (b"mqtt_port=%00", FormError::Nul),
            (b"\0", FormError::Nul),
            (
                b"mqtt_port=1&mqtt_port=1",
                FormError::Duplicate("mqtt_port".to_string()),
            ),
            (
                b"mqtt_port=1&mqtt_%70ort=2",
                FormError::Duplicate("mqtt_port".to_string()),
            ),
            (
                b"token=1&token=2",
                FormError::Duplicate("token".to_string()),
            ),
            (b"=1", FormError::Unknown(String::new())),
            (
                b"mqtt_max_clients=1",
                FormError::Unknown("mqtt_max_clients".to_string()),
            ),
            (
                b"mqtt_port_clear=on",
                FormError::Unknown("mqtt_port_clear".to_string()),
            ),
            (b"%0a%1b=1", FormError::Unknown("\\n\\u{1b}".to_string())),
        ] {
            assert_eq!(
                submitted(&stored(), body, EXTRA),
                Err(error),
                "{:?}",
                String::from_utf8_lossy(body)
            );
        }
        let mut body = b"mqtt_certificate=".to_vec();
        body.resize(MAX_FORM_BYTES, b'x');
        assert!(submitted(&stored(), &body, EXTRA).is_ok());
        body.push(b'x');
        assert_eq!(submitted(&stored(), &body, EXTRA), Err(FormError::TooLarge));
    }

    #[test]
    fn names_are_no_bait_for_password_managers() {
        let names: Vec<_> = FIELDS.iter().map(|field| form_name(field.key)).collect();
        assert_eq!(names[1], "mqtt_port");
        for name in &names {
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
            assert!(
                !["user", "login", "password", "passwd"]
                    .iter()
                    .any(|bait| name.contains(bait)),
                "{name}"
            );
        }
    }
}
