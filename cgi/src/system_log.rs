//! Status → System Log: the last lines of the router's log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::html::{Attribute, Html};
use crate::layout;
use crate::module::Module;
use crate::request::{Environment, Page};
use crate::response::Response;

/// The tag that the broker and its scripts log under.
const TAG: &str = "mqtt_broker";

/// How much is read of each file's end; the files of a busy router are large.
const MAX_TAIL: u64 = 64 * 1024;

/// How many lines are shown.
const MAX_LINES: usize = 100;

/// The query that asks for the lines of all programs.
const ALL: &str = "all=1";

pub(crate) fn answer(module: &Module, environment: &Environment) -> Response {
    Response::page(page(&module.logs(), environment.has_query(ALL)))
}

fn page(logs: &[impl AsRef<Path>], all: bool) -> Html {
    let mut text = String::new();
    let mut errors = Vec::new();
    for log in logs {
        match tail(log.as_ref(), MAX_TAIL) {
            Ok(tail) => text.push_str(&tail),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => errors.push(format!(
                "{} cannot be read: {error}.",
                log.as_ref().display()
            )),
        }
    }
    let lines = last_lines(&text, all);

    let mut content = Html::new();
    layout::report_heading(&mut content, "System Messages");
    for error in &errors {
        content
            .element("p", &[Attribute::Value("class", "bad")], error)
            .raw("\n");
    }
    if lines.is_empty() {
        content.element(
            "p",
            &[],
            if all {
                "The log is empty."
            } else {
                "The broker has logged nothing of late."
            },
        );
    } else {
        // It scrolls, so the keyboard must be able to get there.
        content.raw("<pre class=\"log\" tabindex=\"0\" aria-label=\"System Messages\">\n");
        for line in lines {
            content.text(&printable(line)).raw("\n");
        }
        content.raw("</pre>");
    }
    content.raw("\n<p class=\"links\">");
    if all {
        content.raw("<a href=\"slog.cgi\">Show the messages of the broker only</a> ");
        content.raw("<a href=\"slog.cgi?all=1\">Refresh</a>");
    } else {
        content.raw("<a href=\"slog.cgi?all=1\">Show the messages of all programs</a> ");
        content.raw("<a href=\"slog.cgi\">Refresh</a>");
    }
    content.raw("</p>\n");

    let mut windows = Html::new();
    layout::window(&mut windows, "System Log", &content);
    layout::page(Some(Page::SystemLog), "System Log", &windows)
}

/// The end of a file, from a line's beginning.
fn tail(path: &Path, most: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let skipped = metadata.len().saturating_sub(most);
    // One byte more tells whether the cut is at a line's beginning.
    file.seek(SeekFrom::Start(skipped.saturating_sub(1)))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if skipped > 0 {
        let partial = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(bytes.len(), |end| end + 1);
        bytes.drain(..partial);
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn last_lines(text: &str, all: bool) -> Vec<&str> {
    let mut lines: Vec<&str> = text
        .lines()
        .rev()
        .filter(|line| all || is_of_broker(line))
        .take(MAX_LINES)
        .collect();
    lines.reverse();
    lines
}

/// Whether a line bears the broker's tag: `... mqtt_broker: text` or `... mqtt_broker[123]: text`.
/// The tag is the word before the first colon and space, so the text of another program cannot
/// imitate it.
fn is_of_broker(line: &str) -> bool {
    let Some((head, _)) = line.split_once(": ") else {
        return false;
    };
    let tag = head.rsplit(' ').next().unwrap_or_default();
    match tag.strip_prefix(TAG) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())),
        None => false,
    }
}

/// A line without what could disturb those around it: terminal codes, and marks that reverse text.
fn printable(line: &str) -> String {
    let disturbs = |character: char| {
        character != '\t' && character.is_control()
            || matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    line.chars()
        .map(|c| {
            if disturbs(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("a scratch directory")
    }

    #[test]
    fn the_tag_is_recognised_in_all_forms_of_syslogd() {
        for line in [
            "2024-01-05 10:00:00 mqtt_broker: started",
            "2024-01-05 10:00:00 mqtt_broker[123]: started",
            "Jan  5 10:00:00 router user.err mqtt_broker[1]: port 1883 is in use: trying again",
            "mqtt_broker: x",
        ] {
            assert!(is_of_broker(line), "{line}");
        }
    }

    #[test]
    fn others_cannot_imitate_the_tag() {
        for line in [
            "",
            "mqtt_broker",
            "2024-01-05 10:00:00 pppd[7]: mqtt_broker: connected",
            "Jan  5 10:00:00 router sshd: user mqtt_broker[1]: x",
            "Jan  5 10:00:00 router mqtt_broker2: x",
            "Jan  5 10:00:00 router xmqtt_broker: x",
            "Jan  5 10:00:00 router mqtt_broker[x]: x",
            "Jan  5 10:00:00 router mqtt_broker[]: x",
            "Jan  5 10:00:00 router mqtt_broker[1: x",
        ] {
            assert!(!is_of_broker(line), "{line}");
        }
    }

    #[test]
    fn both_files_are_joined_in_order() {
        let directory = scratch();
        let logs = [
            directory.path().join("messages.1"),
            directory.path().join("messages"),
        ];
        fs::write(&logs[0], "a mqtt_broker: one\na pppd: other\n").unwrap();
        fs::write(&logs[1], "a mqtt_broker: two").unwrap();
        let html = page(&logs, false);
        assert!(
            html.as_str()
                .contains("\na mqtt_broker: one\na mqtt_broker: two\n</pre>")
        );
        assert!(!html.as_str().contains("pppd"));
        assert!(page(&logs, true).as_str().contains("a pppd: other"));
    }

    #[test]
    fn missing_files_are_an_empty_log() {
        let directory = scratch();
        let logs = [directory.path().join("messages")];
        assert!(
            page(&logs, false)
                .as_str()
                .contains("The broker has logged nothing of late.")
        );
        assert!(page(&logs, true).as_str().contains("The log is empty."));
    }

    #[test]
    fn a_log_that_cannot_be_read_is_said() {
        let directory = scratch();
        assert!(
            page(&[directory.path()], false)
                .as_str()
                .contains("cannot be read: it is not a file.")
        );
    }

    #[test]
    fn the_tail_begins_with_a_line() {
        let directory = scratch();
        let log = directory.path().join("messages");
        fs::write(&log, "0123456789\nabcdef\nghi\n").unwrap();
        assert_eq!(tail(&log, 100).unwrap(), "0123456789\nabcdef\nghi\n");
        assert_eq!(tail(&log, 22).unwrap(), "0123456789\nabcdef\nghi\n");
        assert_eq!(tail(&log, 21).unwrap(), "abcdef\nghi\n");
        assert_eq!(tail(&log, 11).unwrap(), "abcdef\nghi\n");
        assert_eq!(tail(&log, 10).unwrap(), "ghi\n");
        assert_eq!(tail(&log, 3).unwrap(), "");
    }

    #[test]
    fn only_the_last_lines_of_a_large_log_are_shown() {
        let directory = scratch();
        let log = directory.path().join("messages");
        let lines: String = (0..50_000)
            .map(|n| format!("x mqtt_broker: {n}\n"))
            .collect();
        fs::write(&log, lines).unwrap();
        let html = page(&[log], false);
        assert_eq!(html.as_str().matches("mqtt_broker: ").count(), MAX_LINES);
        assert!(html.as_str().contains("mqtt_broker: 49999\n"));
        assert!(html.as_str().contains("mqtt_broker: 49900\n"));
    }

    #[test]
    fn markup_and_terminal_codes_are_harmless() {
        let directory = scratch();
        let log = directory.path().join("messages");
        fs::write(&log, b"x mqtt_broker: <script>\x1b[2J\xE2\x80\xAE\xFF\n").unwrap();
        let html = page(&[log], false);
        assert!(
            html.as_str()
                .contains("mqtt_broker: &lt;script&gt;\u{FFFD}[2J\u{FFFD}\u{FFFD}\n")
        );
    }

    #[test]
    fn each_view_links_to_the_other() {
        let none: [&Path; 0] = [];
        assert!(
            page(&none, false)
                .as_str()
                .contains("<a href=\"slog.cgi?all=1\">Show the messages of all programs</a>")
        );
        assert!(
            page(&none, true)
                .as_str()
                .contains("<a href=\"slog.cgi\">Show the messages of the broker only</a>")
        );
    }
}
