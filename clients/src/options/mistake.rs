//! What is told about a command line that makes no sense.

use std::borrow::Cow;

use crate::Tool;
use crate::options::help;

/// A command line, or a line of an option file, that cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    text: Cow<'static, str>,
    ending: Ending,
}

/// What follows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Nothing,
    Hint,
    Usage,
}

impl Mistake {
    /// `Error: TEXT`, a blank line, and how to get help.
    pub(super) fn new(text: impl Into<Cow<'static, str>>) -> Mistake {
        Mistake {
            text: text.into(),
            ending: Ending::Hint,
        }
    }

    /// The same, with one more blank line: Mosquitto has it where a single option is wrong.
    pub(super) fn of_option(text: impl Into<String>) -> Mistake {
        Mistake::new(text.into() + "\n")
    }

    /// Without how to get help.
    pub(super) fn plain(text: impl Into<Cow<'static, str>>) -> Mistake {
        Mistake {
            text: text.into(),
            ending: Ending::Nothing,
        }
    }

    /// With the whole usage, on standard output.
    pub(super) fn with_usage(text: &'static str) -> Mistake {
        Mistake {
            text: text.into(),
            ending: Ending::Usage,
        }
    }

    /// An argument that must be text and is not.
    pub(super) fn malformed(option: &str) -> Mistake {
        Mistake::of_option(format!("Error: Malformed UTF-8 in {option} argument."))
    }

    /// What belongs on standard error.
    pub fn standard_error(&self, tool: Tool) -> String {
        match self.ending {
            Ending::Nothing | Ending::Usage => format!("{}\n", self.text),
            Ending::Hint => format!(
                "{}\n\nUse '{} --help' to see usage.\n",
                self.text,
                tool.name()
            ),
        }
    }

    /// What belongs on standard output, mostly nothing.
    pub fn standard_output(&self, tool: Tool) -> String {
        match self.ending {
            Ending::Usage => help::help(tool),
            Ending::Nothing | Ending::Hint => String::new(),
        }
    }
}
