//! One thing that is wrong with the settings, or unwise.

use std::fmt;

use crate::table::{FIELDS, field};

/// One thing that is wrong (or unwise), in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field it belongs to, without prefix; `None` for a problem of the file itself.
    pub key: Option<&'static str>,
    /// A whole sentence for the person who mends it. It never holds a secret.
    pub message: String,
}

impl Problem {
    /// A problem of one field.
    pub fn of(key: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            key: Some(key),
            message: message.into(),
        }
    }

    /// A problem of the file as a whole.
    pub fn of_file(message: impl Into<String>) -> Problem {
        Problem {
            key: None,
            message: message.into(),
        }
    }

    /// Puts problems in the order of the table, those of the file first; those of one field stay as they are.
    pub fn sort(problems: &mut [Problem]) {
        problems.sort_by_key(|problem| {
            FIELDS
                .iter()
                .position(|field| Some(field.key) == problem.key)
        });
    }

    /// The field's label in the form.
    pub fn label(&self) -> Option<&'static str> {
        field(self.key?).map(|field| field.label)
    }
}

/// `Port must be a whole number ...`: most sentences begin with the label; before the others it is put.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = self.label() {
            let rest = self.message.strip_prefix(label);
            if !rest.is_some_and(|rest| rest.starts_with(' ')) {
                write!(f, "{label}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// `value` as a message may show it: cut after 40 characters, nothing in it that could forge a log line.
pub(crate) fn shown(value: &[u8]) -> String {
    const MOST: usize = 40;
    // Four bytes a character at most, so what lies behind need not be looked at.
    let text = String::from_utf8_lossy(&value[..value.len().min(4 * (MOST + 1))]);
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == MOST => {
                shown.push('…');
                break;
            }
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_once() {
        let port = Problem::of("PORT", "Port must be a number.");
        assert_eq!(port.to_string(), "Port must be a number.");
        assert_eq!(port.label(), Some("Port"));
        assert_eq!(
            Problem::of("PORT", "Portable it is not.").to_string(),
            "Port: Portable it is not."
        );
        assert_eq!(
            Problem::of_file("Line 3: broken.").to_string(),
            "Line 3: broken."
        );
    }

    #[test]
    fn problems_follow_the_table() {
        let of = |key| Problem::of(key, "wrong");
        let mut problems = [
            of("BIND"),
            of("TLS"),
            Problem::of_file("Line 3."),
            of("PORT"),
        ];
        Problem::sort(&mut problems);
        let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(keys, [None, Some("PORT"), Some("TLS"), Some("BIND")]);
    }

    #[test]
    fn shown_values_are_short_and_harmless() {
        assert_eq!(shown(b"it's \"x\""), "it's \"x\"");
        assert_eq!(shown(b"a\nb\x1b[2J\0"), "a\\nb\\u{1b}[2J\\0");
        assert_eq!(shown("\u{202e}é".as_bytes()), "\\u{202e}é");
        assert_eq!(shown(b"\xff"), "\u{fffd}");
        assert_eq!(shown(&[b'x'; 41]), format!("{}…", "x".repeat(40)));
        assert_eq!(shown(&[b'x'; 40]), "x".repeat(40));
        assert_eq!(
            shown("😀".repeat(1000).as_bytes()),
            format!("{}…", "😀".repeat(40))
        );
    }
}
