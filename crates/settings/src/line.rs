//! One line of the settings file.
//!
//! We write `KEY='value'`. Inside the quotes a newline is `\n`, a backslash `\\` and a single quote `'\''`. So a value is one
//! line whatever it holds, and a shell that sources the file takes everything between single quotes as it stands: it assigns
//! the encoded text and finds nothing to execute.
//!
//! Double-quoted and bare values, as the router's own library writes them, are read as that library reads them: literally. It
//! puts double quotes round a value with spaces and escapes nothing, so the last double quote of the line ends the value,
//! and `$`, `\` and quotes before it are part of the value, whatever a shell would make of them.

use crate::PREFIX;

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is blank, or a comment.
    Nothing,
    /// A key in upper case, with its prefix, and a value.
    Assignment(String, Vec<u8>),
    /// It can't be read: the key, if it is one, and why. The reason repeats nothing of the line, which may hold a secret.
    Unreadable(Option<String>, &'static str),
}

/// Reads a line, given without its line feed.
pub(crate) fn parse(line: &[u8]) -> Line {
    let line = line.trim_ascii_start();
    if line.is_empty() || line.starts_with(b"#") {
        return Line::Nothing;
    }
    let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
        return Line::Unreadable(None, "this is neither KEY='value' nor a comment");
    };
    let (name, text) = (&line[..equals], &line[equals + 1..]);
    let is_name = name
        .iter()
        .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name || name.first().is_none_or(u8::is_ascii_digit) {
        return Line::Unreadable(
            None,
            "before \"=\" there must be a key of letters, digits and \"_\", without blanks",
        );
    }
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    match value(text) {
        Ok(value) => Line::Assignment(name, value),
        Err(reason) => Line::Unreadable(Some(name), reason),
    }
}

fn value(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    match text.first() {
        Some(b'\'') => single_quoted(text),
        Some(b'"') => double_quoted(text),
        _ => bare(text),
    }
}

fn single_quoted(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut value = Vec::with_capacity(text.len());
    let mut at = 1;
    loop {
        let special = text[at..]
            .iter()
            .position(|&byte| byte == b'\\' || byte == b'\'');
        let special = at + special.ok_or("the closing single quote is missing")?;
        value.extend_from_slice(&text[at..special]);
        match (&text[special..], text.get(special + 1)) {
            ([b'\'', b'\\', b'\'', b'\'', ..], _) => {
                value.push(b'\'');
                at = special + 4;
            }
            ([b'\'', rest @ ..], _) => return end(rest).map(|()| value),
            (_, Some(b'n')) => {
                value.push(b'\n');
                at = special + 2;
            }
            (_, Some(b'\\')) => {
                value.push(b'\\');
                at = special + 2;
            }
            _ => {
                return Err(
                    "inside single quotes a backslash must be written \\\\ and a line break \\n",
                );
            }
        }
    }
}

fn double_quoted(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let last = text
        .iter()
        .rposition(|&byte| byte == b'"')
        .filter(|&last| last > 0);
    let last = last.ok_or("the closing double quote is missing")?;
    end(&text[last + 1..])?;
    Ok(text[1..last].to_vec())
}

fn bare(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let length = text
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(text.len());
    end(&text[length..]).map_err(|_| "a value with blanks in it must stand in single quotes")?;
    Ok(text[..length].to_vec())
}

/// After a value there may be blanks and then a comment.
fn end(rest: &[u8]) -> Result<(), &'static str> {
    let text = rest.trim_ascii_start();
    match text.first() {
        None => Ok(()),
        Some(b'#') if text.len() < rest.len() => Ok(()),
        Some(_) => Err(
            "after the closing quote nothing may follow but a comment; a single quote in a value is written '\\''",
        ),
    }
}

/// Appends the line of a key (without prefix) and its value.
pub(crate) fn write(key: &str, value: &[u8], file: &mut Vec<u8>) {
    file.extend_from_slice(PREFIX.as_bytes());
    file.extend_from_slice(key.as_bytes());
    file.extend_from_slice(b"='");
    for &byte in value {
        match byte {
            b'\n' => file.extend_from_slice(b"\\n"),
            b'\\' => file.extend_from_slice(b"\\\\"),
            b'\'' => file.extend_from_slice(b"'\\''"),
            _ => file.push(byte),
        }
    }
    file.extend_from_slice(b"'\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(text: &str) -> String {
        match parse(format!("KEY={text}").as_bytes()) {
            Line::Assignment(_, value) => String::from_utf8(value).expect("text"),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn blank_lines_and_comments_say_nothing() {
        for line in ["", " ", "\t", "\r", "# KEY=1", "  # it's \"x"] {
            assert_eq!(parse(line.as_bytes()), Line::Nothing, "{line:?}");
        }
    }

    #[test]
    fn escapes_count_inside_single_quotes() {
        assert_eq!(value_of("''"), "");
        assert_eq!(value_of("'a b'"), "a b");
        assert_eq!(value_of(r"'a\nb\\n'"), "a\nb\\n");
        assert_eq!(value_of(r"''\'''"), "'");
        assert_eq!(value_of(r"'it'\''s'\'''"), "it's'");
        assert_eq!(value_of("'$(x) `y` \"z\" # ;'"), "$(x) `y` \"z\" # ;");
        assert_eq!(value_of("'a\rb\r'"), "a\rb\r");
    }

    #[test]
    fn other_values_are_taken_literally() {
        assert_eq!(value_of(""), "");
        assert_eq!(value_of("1883"), "1883");
        assert_eq!(value_of(r"a\nb\\"), r"a\nb\\");
        assert_eq!(value_of("it's"), "it's");
        assert_eq!(value_of("$x;y&`z`#"), "$x;y&`z`#");
        assert_eq!(value_of("#x"), "#x");
        assert_eq!(value_of(r#""""#), "");
        assert_eq!(value_of(r#""Data collector""#), "Data collector");
        assert_eq!(value_of(r#""a\nb\\ $HOME""#), r"a\nb\\ $HOME");
        assert_eq!(value_of(r#""say "hi" now""#), r#"say "hi" now"#);
        assert_eq!(value_of(r#""it's""#), "it's");
    }

    #[test]
    fn blanks_and_a_comment_may_follow() {
        for text in ["x", "'x'", "\"x\""] {
            for rest in ["", " ", "\t \r", "\r", " # it is x", " #"] {
                assert_eq!(value_of(&format!("{text}{rest}")), "x");
            }
        }
        assert_eq!(value_of(" # nothing"), "");
    }

    #[test]
    fn keys_are_raised_to_upper_case() {
        let line = parse(b"  mod_Mqtt_broker_port2=1");
        assert_eq!(
            line,
            Line::Assignment("MOD_MQTT_BROKER_PORT2".to_string(), b"1".to_vec())
        );
    }

    #[test]
    fn what_can_not_be_read_is_refused() {
        for line in [
            "KEY",
            "=1",
            "2KEY=1",
            "K-EY=1",
            "KEY =1",
            "export KEY=1",
            "KEY= 1",
            "KEY=a b",
            "KEY='a",
            "KEY='",
            "KEY='a\\'",
            "KEY='a\\b'",
            "KEY='a\\",
            "KEY='a'b",
            "KEY='a'b'",
            "KEY='a' b",
            "KEY='a'#b",
            "KEY='a'\\'",
            "KEY='a'\\''",
            "KEY=\"",
            "KEY=\"a",
            "KEY=\"a\"b",
            "KEY=\"a\" b",
            "KEY='a'; reboot",
            "\u{e9}=1",
        ] {
            assert!(
                matches!(parse(line.as_bytes()), Line::Unreadable(..)),
                "{line:?}"
            );
        }
        let unclosed = "the closing single quote is missing";
        assert_eq!(
            parse(b"key='x"),
            Line::Unreadable(Some("KEY".to_string()), unclosed)
        );
        assert!(matches!(parse(b"k ey='x'"), Line::Unreadable(None, _)));
    }
}
