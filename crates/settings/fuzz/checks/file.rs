//! A settings file of any bytes is read or refused; what is read survives being written, and harms no shell.

use settings::{MAX_FILE_BYTES, PREFIX, Problem, Settings, Values};

pub(crate) fn check(data: &[u8]) {
    match Values::parse(data) {
        Ok(values) => {
            written(&values);
            judged(&values);
            // Line ends of Windows change nothing.
            assert_eq!(Values::parse(&[data, b"\r\n"].concat()), Ok(values));
        }
        Err(problems) => {
            sentences(&problems);
            assert!(problems.iter().all(|problem| problem.key.is_none()));
            assert!(Settings::parse(data).is_err());
        }
    }
}

/// The file that is written holds every value, one to a line.
pub(crate) fn written(values: &Values) {
    let file = values.to_file();
    if file.len() > MAX_FILE_BYTES {
        // Quotes take more room than they did; such a file is not stored.
        return;
    }
    assert_eq!(Values::parse(&file).as_ref(), Ok(values));
    let lines: Vec<_> = file.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), values.iter().count() + 1);
    assert_eq!(lines.last(), Some(&&b""[..]));
    for (line, (key, _)) in lines.iter().zip(values.iter()) {
        let start = format!("{PREFIX}{key}=");
        let value = line.strip_prefix(start.as_bytes()).expect("the key");
        assert!(is_one_word(value), "{}", line.escape_ascii());
    }
}

/// Whether a POSIX shell sees single quotes and escaped single quotes alone: then it has nothing to expand or execute.
fn is_one_word(value: &[u8]) -> bool {
    let mut rest = value;
    loop {
        match rest {
            [] => return true,
            [b'\\', b'\'', after @ ..] => rest = after,
            [b'\'', after @ ..] => match after.iter().position(|&byte| byte == b'\'') {
                Some(end) => rest = &after[end + 1..],
                None => return false,
            },
            _ => return false,
        }
    }
}

/// Values are legal settings, or all that is wrong with them is said.
pub(crate) fn judged(values: &Values) {
    sentences(&values.warnings());
    match Settings::from_values(values) {
        Ok(settings) => {
            sentences(&settings.warnings());
            assert_eq!(settings, Settings::from_values(values).expect("as before"));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| problem.key.is_some()));
            sentences(&problems);
        }
    }
}

/// Sentences that can stand in a log line.
fn sentences(problems: &[Problem]) {
    for problem in problems {
        let message = problem.to_string();
        assert!(message.ends_with('.'), "{message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}
