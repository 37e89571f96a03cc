//! One value after another is read as its kind in the table says.

use std::net::{IpAddr, Ipv6Addr};

use crate::problem::{Problem, shown};
use crate::table::{Choice, Field, Kind, field};
use crate::values::Values;

/// Reads value after value. One that is wrong is noted and stands in as something harmless, since no settings come of it.
pub(crate) struct Judge<'a> {
    pub(crate) values: &'a Values,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Judge<'a> {
    fn row(&self, key: &str) -> (&'static Field, &'a [u8]) {
        let field = field(key).expect("every key that is judged is in the table");
        (field, self.values.get(key))
    }

    /// Notes a sentence: the field's label and `rest`.
    pub(crate) fn refuse(&mut self, key: &str, rest: &str) {
        let (field, _) = self.row(key);
        let message = format!("{} {rest}.", field.label);
        self.problems.push(Problem::of(field.key, message));
    }

    pub(crate) fn given(&self, key: &str) -> bool {
        !self.values.get(key).is_empty()
    }

    /// Whether there is nothing to be seen: a text area left with an empty line.
    pub(crate) fn is_blank(&self, key: &str) -> bool {
        self.values.get(key).trim_ascii().is_empty()
    }

    pub(crate) fn switch(&mut self, key: &str) -> bool {
        let (_, value) = self.row(key);
        if value != b"0" && value != b"1" {
            let entered = entered(value);
            self.refuse(key, &format!("must be 0 (off) or 1 (on); {entered}"));
        }
        value == b"1"
    }

    /// The chosen value as the table has it.
    pub(crate) fn choice(&mut self, key: &str) -> &'static str {
        let (field, value) = self.row(key);
        let Kind::Choice(choices) = field.kind else {
            unreachable!("{key} is a choice in the table")
        };
        for choice in choices {
            if choice.value.as_bytes() == value {
                return choice.value;
            }
        }
        let (wanted, entered) = (alternatives(choices), entered(value));
        self.refuse(key, &format!("must be {wanted}; {entered}"));
        field.default
    }

    /// A number in the table's range, which `T` can hold.
    pub(crate) fn number<T: TryFrom<u64> + Default>(&mut self, key: &str) -> T {
        let (field, value) = self.row(key);
        let Kind::Number {
            min,
            max,
            zero_is_unlimited,
        } = field.kind
        else {
            unreachable!("{key} is a number in the table")
        };
        let in_range = digits(value).filter(|number| (min..=max).contains(number));
        if let Some(number) = in_range.and_then(|number| T::try_from(number).ok()) {
            return number;
        }
        let unlimited = if zero_is_unlimited {
            " (0 means no limit)"
        } else {
            ""
        };
        let or_empty = if field.default.is_empty() {
            ", or empty"
        } else {
            ""
        };
        let range = format!("a whole number from {min} to {max}{unlimited}{or_empty}");
        self.refuse(key, &format!("must be {range}; {}", entered(value)));
        T::default()
    }

    /// A number where 0 stands for "no limit".
    pub(crate) fn limit<T>(&mut self, key: &str) -> Option<T>
    where
        T: TryFrom<u64> + Default + PartialEq,
    {
        Some(self.number(key)).filter(|limit| *limit != T::default())
    }

    /// A text that must not be missing; `why` says what it is needed for.
    pub(crate) fn text(&mut self, key: &str, why: &str) -> String {
        let (field, value) = self.row(key);
        let Kind::Text { max_bytes } = field.kind else {
            unreachable!("{key} is a text in the table")
        };
        if value.is_empty() {
            self.refuse(key, &format!("is missing: {why}"));
        }
        self.at_most(key, value.len(), max_bytes, "bytes");
        let text = String::from_utf8_lossy(value).into_owned();
        if str::from_utf8(value).is_err() {
            self.refuse(key, "is not text in UTF-8; type it again");
        } else if let Some(at) = text.chars().position(char::is_control) {
            let what = "must not contain control characters such as tabs and line breaks";
            self.refuse(
                key,
                &format!("{what}; remove the one at position {}", at + 1),
            );
        }
        text
    }

    /// The bytes that hexadecimal digits stand for.
    pub(crate) fn hex(&mut self, key: &str, why: &str) -> Vec<u8> {
        let (field, value) = self.row(key);
        let Kind::Hex { max_digits } = field.kind else {
            unreachable!("{key} is hexadecimal in the table")
        };
        let stranger = value.iter().position(|byte| !byte.is_ascii_hexdigit());
        if value.is_empty() {
            self.refuse(key, &format!("is missing: {why}"));
        } else if value.starts_with(b"0x") || value.starts_with(b"0X") {
            self.refuse(
                key,
                "must be hexadecimal digits alone; leave out the 0x before them",
            );
        } else if let Some(at) = stranger {
            let what = "must be hexadecimal digits (0 to 9, a to f)";
            self.refuse(
                key,
                &format!("{what}; the character at position {} is none", at + 1),
            );
        } else if value.len() % 2 == 1 {
            let what = "must have an even number of hexadecimal digits, two for each byte";
            self.refuse(key, &format!("{what}; this one has {}", value.len()));
        }
        self.at_most(key, value.len(), max_digits, "digits");
        let nibble = |byte| digit(byte).unwrap_or_default();
        value
            .chunks_exact(2)
            .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
            .collect()
    }

    /// Certificates or a key that must not be missing; `why` says what is to be done. What is in them takes cryptography to
    /// judge, and is judged where that is.
    pub(crate) fn pem(&mut self, key: &str, why: &str) -> String {
        let (field, value) = self.row(key);
        let Kind::Pem { max_bytes } = field.kind else {
            unreachable!("{key} is PEM in the table")
        };
        self.at_most(key, value.len(), max_bytes, "bytes");
        if self.is_blank(key) {
            self.refuse(key, &format!("is missing: {why}"));
        } else if str::from_utf8(value).is_err() {
            self.refuse(key, "is not text in UTF-8; copy the file again");
        }
        String::from_utf8_lossy(value).into_owned()
    }

    fn at_most(&mut self, key: &str, length: usize, most: usize, what: &str) {
        if length > most {
            self.refuse(
                key,
                &format!("must not be longer than {most} {what}; this one has {length}"),
            );
        }
    }

    pub(crate) fn address(&mut self, key: &str) -> Option<IpAddr> {
        let (_, value) = self.row(key);
        if value.is_empty() {
            return None;
        }
        let address = str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<IpAddr>().ok());
        let broadcast = IpAddr::from([255; 4]);
        let address = address.filter(|address| !address.is_multicast() && *address != broadcast);
        if address.is_none() {
            let what = "an IPv4 or IPv6 address of the router such as 192.168.1.1";
            let entered = entered(value);
            self.refuse(
                key,
                &format!("must be {what}, or empty for all its addresses; {entered}"),
            );
        }
        address
    }

    /// All origins in lower case. The first that is none is named; the others would hardly need another sentence.
    pub(crate) fn origins(&mut self, key: &str) -> Vec<String> {
        let (_, value) = self.row(key);
        let words = value
            .split(|&byte| byte == b' ')
            .filter(|word| !word.is_empty());
        let words: Vec<_> = words
            .map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
            .collect();
        if let Some(other) = words.iter().find(|word| !is_origin(word)) {
            let what =
                "must be web sites such as https://panel.example.com or http://192.168.1.2:8080";
            let other = shown(other.as_bytes());
            self.refuse(
                key,
                &format!("{what}, separated by spaces; \"{other}\" is none"),
            );
        }
        words
    }

    /// No file can hold a NUL byte: it could only come from a caller of [`Values::set`].
    pub(crate) fn nul_bytes(&mut self) {
        for (key, _) in self.values.iter().filter(|(_, value)| value.contains(&0)) {
            match field(key) {
                Some(field)
                    if self
                        .problems
                        .iter()
                        .any(|known| known.key == Some(field.key)) => {}
                Some(field) => self.refuse(field.key, "must not contain a NUL byte"),
                None => {
                    let message = format!("{key} must not contain a NUL byte.");
                    self.problems.push(Problem::of_file(message));
                }
            }
        }
    }
}

fn entered(value: &[u8]) -> String {
    match value {
        [] => "it is empty".to_string(),
        _ => format!("you entered \"{}\"", shown(value)),
    }
}

/// `error, warning, info or debug`
fn alternatives(choices: &[Choice]) -> String {
    let values: Vec<_> = choices.iter().map(|choice| choice.value).collect();
    match values.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => values.concat(),
    }
}

/// Digits and nothing else: no sign, no blanks.
fn digits(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// `http://host` or `https://host:port`, as a browser sends it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let authority = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let Some(authority) = authority else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| {
        !digits(port.as_bytes()).is_some_and(|port| (1..=65_535).contains(&port))
    }) {
        return false;
    }
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    }
}
