//! Where the router app lies, and where the files are that it shares with the broker.
//!
//! Everything is found from this program's own path, `$R/opt/mqtt_broker/bin/cgi`, so the same
//! package runs on a router, where `$R` is empty, and below any other directory.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::response::{Refusal, Status};

const DIRECTORY: &str = "opt/mqtt_broker";

/// The places of one installed router app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    root: PathBuf,
}

impl Module {
    /// The module that this very program belongs to.
    pub(crate) fn of_process() -> Result<Module, Refusal> {
        let called = env::args_os().next().unwrap_or_default();
        let program = env::current_exe().unwrap_or_else(|_| PathBuf::from(called));
        fs::canonicalize(&program)
            .ok()
            .and_then(|program| Module::of_program(&program))
            .ok_or_else(|| {
                let message = format!(
                    "The program {} does not lie in {DIRECTORY}/bin.",
                    program.display()
                );
                Refusal::new(Status::InternalServerError, message)
            })
    }

    fn of_program(program: &Path) -> Option<Module> {
        let directory = program
            .parent()
            .filter(|bin| bin.file_name() == Some(OsStr::new("bin")))?
            .parent()?;
        // A router may keep /opt elsewhere behind a link; the rest of its tree does not move with
        // it.
        if fs::canonicalize(Path::new("/").join(DIRECTORY))
            .is_ok_and(|installed| installed == directory)
        {
            return Some(Module {
                root: PathBuf::from("/"),
            });
        }
        let root = directory
            .ancestors()
            .nth(2)
            .filter(|root| root.join(DIRECTORY) == directory)?;
        Some(Module {
            root: root.to_owned(),
        })
    }

    #[cfg(test)]
    pub(crate) fn below(root: &Path) -> Module {
        Module {
            root: root.to_owned(),
        }
    }

    /// What the form edits.
    pub(crate) fn settings(&self) -> PathBuf {
        self.file("etc/settings")
    }

    /// The script that makes the broker take new settings.
    pub(crate) fn init(&self) -> PathBuf {
        self.file("etc/init")
    }

    /// The broker, asked for its opinion of settings.
    pub(crate) fn broker(&self) -> PathBuf {
        self.file("bin/mqtt_broker")
    }

    /// `version (date)` of the package.
    pub(crate) fn version(&self) -> PathBuf {
        self.file("etc/version")
    }

    /// The number of the broker's process.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.root.join("var/run/mqtt_broker.pid")
    }

    /// Where the broker tells how it is.
    pub(crate) fn observer(&self) -> PathBuf {
        self.root.join("var/run/mqtt_broker.sock")
    }

    /// The token of this boot.
    pub(crate) fn token(&self) -> PathBuf {
        self.root.join("var/run/mqtt_broker.token")
    }

    /// The system log, the older file first.
    pub(crate) fn logs(&self) -> [PathBuf; 2] {
        ["var/log/messages.1", "var/log/messages"].map(|file| self.root.join(file))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(DIRECTORY).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_what_stands_before_opt() {
        let module =
            Module::of_program(Path::new("/srv/router/opt/mqtt_broker/bin/cgi")).expect("a module");
        assert_eq!(
            module.settings(),
            Path::new("/srv/router/opt/mqtt_broker/etc/settings")
        );
        assert_eq!(
            module.token(),
            Path::new("/srv/router/var/run/mqtt_broker.token")
        );
        assert_eq!(module.logs()[1], Path::new("/srv/router/var/log/messages"));
    }

    #[test]
    fn on_a_router_the_root_is_the_root() {
        let module = Module::of_program(Path::new("/opt/mqtt_broker/bin/cgi")).expect("a module");
        assert_eq!(module.pid_file(), Path::new("/var/run/mqtt_broker.pid"));
        assert_eq!(
            module.broker(),
            Path::new("/opt/mqtt_broker/bin/mqtt_broker")
        );
    }

    #[test]
    fn any_other_place_is_no_module() {
        for program in [
            "/",
            "/cgi",
            "/opt/mqtt_broker/cgi",
            "/opt/other/bin/cgi",
            "/srv/mqtt_broker/bin/cgi",
            "",
        ] {
            assert_eq!(Module::of_program(Path::new(program)), None, "{program}");
        }
    }
}
