//! `--watch`: a line of the terminal for each topic, with its latest message.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::SystemTime;

use mqtt::Publish;

use crate::format::{Layout, Output};

/// No terminal has so many lines. Further topics are not shown.
const MAX_TOPICS: usize = 1000;
/// Bytes of a message that are shown at most; the terminal shows as many as fit its line.
const MAX_SHOWN: usize = 4096;
/// Lines above that of the first topic: the broker's name, and an empty one.
const HEADING: usize = 2;

/// Clears the screen; lines do not wrap.
const START: &str = "\x1b[2J\x1b[?7l";
/// Lines wrap again.
const END: &str = "\x1b[?7h";

/// The lines on the screen.
#[derive(Debug)]
pub(crate) struct Watch {
    output: Output,
    broker: String,
    lines: HashMap<String, usize>,
    is_started: bool,
}

impl Watch {
    pub(crate) fn new(output: Output, broker: String) -> Watch {
        // A payload alone would not tell what it is about.
        let layout = match output.layout {
            Layout::Payload => Layout::Verbose,
            layout => layout,
        };
        Watch {
            output: Output {
                layout,
                newline: true,
                ..output
            },
            broker,
            lines: HashMap::new(),
            is_started: false,
        }
    }

    /// Shows a message in the line of its topic. What of it could not be printed is told nowhere: there is no room for it.
    pub(crate) fn write(
        &mut self,
        message: &Publish<'_>,
        now: SystemTime,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let topic = message
            .topic
            .map(mqtt::TopicName::as_str)
            .unwrap_or_default();
        if !self.is_started {
            self.is_started = true;
            write!(
                out,
                "{START}\x1b[1;1HBroker: {}",
                shown(self.broker.as_bytes())
            )?;
        }
        let count = self.lines.len();
        let line = match self.lines.get(topic) {
            Some(line) => *line,
            None if count == MAX_TOPICS => return Ok(()),
            None => {
                self.lines.insert(topic.to_string(), count);
                count
            }
        };
        let mut text = Vec::new();
        self.output.write(message, now, &mut text)?;
        text.pop();
        // The cursor rests below the lines.
        let (row, last) = (line + 1 + HEADING, self.lines.len() + 1 + HEADING);
        write!(out, "\x1b[{row};1H{}\x1b[K\x1b[{last};1H", shown(&text))
    }

    /// Leaves the terminal as it was.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_started) {
            out.extend_from_slice(END.as_bytes());
        }
    }
}

/// What may be shown in a line: no control characters, which would move the cursor or worse.
fn shown(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MAX_SHOWN)];
    let characters = String::from_utf8_lossy(bytes);
    let harmless = characters
        .chars()
        .map(|character| match character.is_control() {
            true => '.',
            false => character,
        });
    harmless.collect()
}

#[cfg(test)]
mod tests {
    use mqtt::{Properties, QoS, TopicName};

    use super::*;

    fn watch(layout: Layout) -> Watch {
        let output = Output {
            layout,
            newline: true,
            pretty: false,
        };
        Watch::new(output, "router".into())
    }

    fn write(watch: &mut Watch, topic: &str, payload: &[u8]) -> String {
        let message = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: TopicName::new(topic).ok(),
            packet_identifier: None,
            properties: Properties::EMPTY,
            payload,
        };
        let mut out = Vec::new();
        let written = watch.write(&message, SystemTime::UNIX_EPOCH, &mut out);
        written.expect("memory takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn topics_beyond_the_last_line_are_not_shown() {
        let mut watch = watch(Layout::Verbose);
        for number in 0..MAX_TOPICS {
            assert_ne!(write(&mut watch, &format!("t/{number}"), b"x"), "");
        }
        assert_eq!(write(&mut watch, "one/more", b"x"), "");
        assert_eq!(watch.lines.len(), MAX_TOPICS);
        assert_ne!(write(&mut watch, "t/0", b"again"), "");
    }

    #[test]
    fn each_topic_has_its_line() {
        let mut watch = watch(Layout::Payload);
        let first = write(&mut watch, "a", b"1");
        assert_eq!(
            first,
            "\x1b[2J\x1b[?7l\x1b[1;1HBroker: router\x1b[3;1Ha 1\x1b[K\x1b[4;1H"
        );
        assert_eq!(write(&mut watch, "b", b"2"), "\x1b[4;1Hb 2\x1b[K\x1b[5;1H");
        assert_eq!(write(&mut watch, "a", b"3"), "\x1b[3;1Ha 3\x1b[K\x1b[5;1H");
        assert_eq!(
            write(&mut watch, "a", b""),
            "\x1b[3;1Ha (null)\x1b[K\x1b[5;1H"
        );
        let mut out = Vec::new();
        watch.end(&mut out);
        assert_eq!(out, b"\x1b[?7h");
        out.clear();
        watch.end(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn nothing_in_a_message_moves_the_cursor() {
        let mut watch = watch(Layout::Payload);
        write(&mut watch, "a", b"");
        let text = write(&mut watch, "a", b"x\x1b[2J\n\ry\xff\xc2\x9bz");
        assert_eq!(text, "\x1b[3;1Ha x.[2J..y\u{fffd}.z\x1b[K\x1b[4;1H");
    }

    #[test]
    fn neither_topics_nor_payloads_take_more_and_more() {
        let mut watch = watch(Layout::Payload);
        for number in 0..2 * MAX_TOPICS {
            write(&mut watch, &format!("t/{number}"), b"x");
        }
        assert_eq!(watch.lines.len(), MAX_TOPICS);
        assert_eq!(write(&mut watch, "new", b"x"), "");
        assert!(write(&mut watch, "t/0", &vec![b'x'; 1 << 20]).len() < MAX_SHOWN + 100);
    }
}
