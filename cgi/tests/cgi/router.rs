//! A scratch router with the app installed, asked as a web server asks.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::scratch::Scratch;

/// The media type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A router with the app installed.
pub(crate) struct Router {
    pub(crate) scratch: Scratch,
}

/// What came back.
pub(crate) struct Answer {
    head: String,
    pub(crate) body: String,
}

impl Router {
    pub(crate) fn new() -> Router {
        let scratch = Scratch::new();
        let program = scratch.path("opt/mqtt_broker/bin/cgi");
        // Copied by another process, for the reason given at `Scratch::script`.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_cgi"))
            .arg(program)
            .status();
        assert!(copied.expect("cp").success());
        for page in ["index.cgi", "set.cgi", "status.cgi", "slog.cgi"] {
            let link = scratch.path("opt/mqtt_broker/www").join(page);
            symlink("../bin/cgi", link).expect("a link");
        }
        Router { scratch }
    }

    pub(crate) fn ask(&self, page: &str, variables: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut child = Command::new(self.scratch.path("opt/mqtt_broker/www").join(page))
            .env_clear()
            .env("GATEWAY_INTERFACE", "CGI/1.1")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("SCRIPT_NAME", format!("/module/mqtt_broker/{page}"))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut input = child.stdin.take().expect("its input is a pipe");
        // A program that refuses early does not read everything.
        let _ = input.write_all(body);
        drop(input);
        let mut answer = String::new();
        let mut output = child.stdout.take().expect("its output is a pipe");
        output
            .read_to_string(&mut answer)
            .expect("an answer in UTF-8");
        assert!(child.wait().expect("it ends").success());
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .expect("a blank line ends the header");
        Answer {
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn get(&self, page: &str, query: &str) -> Answer {
        self.ask(
            page,
            &[("REQUEST_METHOD", "GET"), ("QUERY_STRING", query)],
            b"",
        )
    }

    pub(crate) fn post(&self, body: &str) -> Answer {
        self.post_with(&[], body)
    }

    pub(crate) fn post_with(&self, variables: &[(&str, &str)], body: &str) -> Answer {
        let length = body.len().to_string();
        let mut all = vec![
            ("REQUEST_METHOD", "POST"),
            ("CONTENT_TYPE", FORM),
            ("CONTENT_LENGTH", &length),
        ];
        all.extend(variables);
        self.ask("set.cgi", &all, body.as_bytes())
    }

    /// Posts fields with a good token.
    pub(crate) fn apply(&self, fields: &str) -> Answer {
        self.post(&format!("token={}&{fields}&button=Apply", self.token()))
    }

    /// The token, as it stands in the form.
    pub(crate) fn token(&self) -> String {
        let form = self.get("index.cgi", "").body;
        let (_, rest) = form
            .split_once("name=\"token\" value=\"")
            .expect("a token in the form");
        rest.split_once('"').expect("its end").0.to_owned()
    }

    /// How the init script was called, once it was.
    pub(crate) fn init_called(&self) -> Option<String> {
        fs::read_to_string(self.scratch.path("opt/mqtt_broker/etc/init.called")).ok()
    }

    /// Neither stored anything nor told anybody.
    pub(crate) fn assert_untouched(&self, before: &str) {
        assert_eq!(self.scratch.settings(), before);
        assert_eq!(self.init_called(), None);
    }
}

impl Answer {
    pub(crate) fn status(&self) -> &str {
        let line = self.head.lines().next().unwrap_or_default();
        line.strip_prefix("Status: ")
            .and_then(|line| line.get(..3))
            .expect("a status comes first")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
