//! `--help` and `--version`.

use std::fmt::Write as _;

use crate::Tool;
use crate::options::table::{Category, Row};

/// Where the text of an option begins, and where a line ends.
const INDENT: usize = 6;
const WIDTH: usize = 100;

/// What `--version` prints.
pub(super) fn version(tool: Tool) -> String {
    format!(
        "{} version 2.0.18-compatible running on mqtt_broker {}, {}.\n",
        tool.name(),
        env!("CARGO_PKG_VERSION"),
        tls::openssl_version()
    )
}

/// What `--help` prints.
pub(super) fn help(tool: Tool) -> String {
    let name = tool.name();
    let (purpose, usage) = match tool {
        Tool::Pub => (
            "publishes a message, or a message a line, to one topic and ends",
            "{-t topic | -L url} {-m message | -f file | -s | -l | -n}",
        ),
        Tool::Sub => (
            "subscribes to topics and prints the messages that come",
            "{-t filter ... | -U filter ... | -L url}",
        ),
        Tool::Rr => (
            "publishes a request, prints the response to it and ends",
            "{-t topic | -L url} -e response-topic {-m message | -f file | -s | -n}",
        ),
    };
    let mut text = format!("{name} {purpose}.\n{}\n", version(tool));
    let _ = writeln!(text, "Usage: {name} {usage} [option ...]");
    let _ = writeln!(text, "       {name} --help");
    for category in Category::ALL {
        let mut rows = Row::of(tool)
            .filter(|row| row.category == category)
            .peekable();
        if rows.peek().is_some() {
            let _ = writeln!(text, "\n{}:", category.heading());
        }
        for row in rows {
            let _ = write!(text, " {}", row.names.join(", "));
            if let Some(value) = row.value {
                let _ = write!(text, " {}", value.name);
            }
            let _ = writeln!(text, " :");
            wrap(row.help, &mut text);
        }
    }
    let _ = writeln!(
        text,
        "\nOptions may also stand in a file, one a line: $XDG_CONFIG_HOME/{name} or $HOME/.config/{name}."
    );
    text
}

fn wrap(help: &str, text: &mut String) {
    let mut column = 0;
    for word in help.split_whitespace() {
        let length = word.chars().count();
        if column == 0 || column + 1 + length > WIDTH {
            if column != 0 {
                text.push('\n');
            }
            text.extend(std::iter::repeat_n(' ', INDENT));
            column = INDENT;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_tool_is_listed_once_and_no_other() {
        for tool in Tool::ALL {
            let text = help(tool);
            let listed: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with(" -"))
                .flat_map(|line| line.split([' ', ',']).filter(|word| word.starts_with('-')))
                .collect();
            let known: Vec<_> = Row::of(tool).flat_map(|row| row.names).collect();
            assert_eq!(listed.len(), known.len());
            for name in known {
                assert!(listed.contains(name), "{name}");
            }
        }
    }

    /// The manual pages of the package.
    fn manual(tool: Tool) -> &'static str {
        match tool {
            Tool::Pub => include_str!("../../../merge/doc/mosquitto_pub.txt"),
            Tool::Sub => include_str!("../../../merge/doc/mosquitto_sub.txt"),
            Tool::Rr => include_str!("../../../merge/doc/mosquitto_rr.txt"),
        }
    }

    #[test]
    fn the_manual_describes_the_same_options() {
        for tool in Tool::ALL {
            let mut described: Vec<String> = Vec::new();
            let (_, options) = manual(tool).split_once("\nOPTIONS\n").expect("a list");
            let (options, _) = options.split_once("\nOPTIONS FILE\n").expect("its end");
            for line in options.lines() {
                if let Some(option) = line.strip_prefix("    -") {
                    let words = option.split([' ', ',']).filter(|word| !word.is_empty());
                    let (names, values): (Vec<_>, Vec<_>) = words
                        .enumerate()
                        .partition(|(index, word)| *index == 0 || word.starts_with('-'));
                    let names: Vec<String> = names
                        .into_iter()
                        .map(|(index, name)| match index {
                            0 => format!("-{name}"),
                            _ => name.to_string(),
                        })
                        .collect();
                    let row = Row::find(tool, names[0].as_bytes()).expect(line);
                    assert_eq!(names, row.names, "{line}");
                    assert_eq!(!values.is_empty(), row.value.is_some(), "{line}");
                    described.push(names[0].clone());
                }
            }
            described.sort_unstable();
            let mut known: Vec<_> = Row::of(tool).map(Row::name).collect();
            known.sort_unstable();
            assert_eq!(described, known, "{}", tool.name());
        }
    }

    #[test]
    fn the_manual_has_its_parts() {
        for tool in Tool::ALL {
            let headings = manual(tool)
                .lines()
                .filter(|line| line.starts_with(char::is_uppercase));
            let headings: Vec<_> = headings.filter(|line| *line != "OUTPUT FORMAT").collect();
            let expected = [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "OPTIONS FILE",
                "PROPERTIES",
                "EXIT STATUS",
                "EXAMPLES",
                "DIFFERENCES FROM MOSQUITTO 2.0.18",
            ];
            assert_eq!(headings, expected);
            assert!(
                manual(tool)
                    .lines()
                    .all(|line| line.chars().count() <= WIDTH)
            );
        }
    }

    #[test]
    fn lines_fit_a_terminal() {
        for tool in Tool::ALL {
            for line in help(tool).lines() {
                assert!(line.chars().count() <= WIDTH + 15, "{line}");
            }
        }
    }

    #[test]
    fn the_version_names_tool_and_model() {
        for tool in Tool::ALL {
            let line = version(tool);
            assert!(
                line.starts_with(&format!("{} version 2.0.18", tool.name())),
                "{line}"
            );
            assert!(line.ends_with(".\n") && line.lines().count() == 1);
        }
    }
}
