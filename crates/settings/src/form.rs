//! The form a browser sends: `application/x-www-form-urlencoded` against what is stored.

use std::borrow::Cow;
use std::collections::HashMap;
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
    let mut names = std::collections::HashSet::with_capacity(pairs.len().min(64));
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
