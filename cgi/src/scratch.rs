//! A router's tree in a scratch directory, for tests of this crate.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A tree below `$R`, removed in the end.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    /// The directories of a router with the app installed, a broker that finds every settings file
    /// valid and an init script that writes down how it is called. Both are scripts.
    pub(crate) fn new() -> Scratch {
        let scratch = Scratch {
            directory: tempfile::tempdir().expect("a scratch directory"),
        };
        for directory in [
            "opt/mqtt_broker/bin",
            "opt/mqtt_broker/etc",
            "opt/mqtt_broker/www",
            "var/run",
            "var/log",
        ] {
            fs::create_dir_all(scratch.path(directory)).expect("a directory");
        }
        scratch.verdict(r#"{"errors":[],"warnings":[]}"#);
        // The note appears whole, since a test may wait for it.
        scratch.script(
            "opt/mqtt_broker/etc/init",
            r#"echo "$0 $*" >"$0.new"; mv "$0.new" "$0.called""#,
        );
        scratch
    }

    /// A path below `$R`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The settings file, as text; empty if there is none.
    pub(crate) fn settings(&self) -> String {
        fs::read_to_string(self.path("opt/mqtt_broker/etc/settings")).unwrap_or_default()
    }

    /// Replaces the settings file.
    pub(crate) fn store(&self, settings: &str) {
        fs::write(self.path("opt/mqtt_broker/etc/settings"), settings).expect("a settings file");
    }

    /// What the broker will say of every settings file; it keeps the last one it was shown as
    /// `candidate`.
    pub(crate) fn verdict(&self, answer: &str) {
        let valid = answer.contains(r#""errors":[]"#);
        self.script(
            "opt/mqtt_broker/bin/mqtt_broker",
            &format!(
                "cat >\"$0.candidate\"\ncat <<'END'\n{answer}\nEND\nexit {}",
                i32::from(!valid)
            ),
        );
    }

    /// Makes a shell script. A shell writes it: were this process to hold it open for writing, a
    /// child that another test starts at that moment would inherit that, and the script could not
    /// be run.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let mut shell = Command::new("/bin/sh")
            .args([
                "-c",
                "cat >\"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"",
            ])
            .arg(self.path(name))
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut input = shell.stdin.take().expect("its input is a pipe");
        write!(input, "#!/bin/sh\n{text}\n").expect("a script");
        drop(input);
        assert!(shell.wait().expect("the shell ends").success());
    }
}
