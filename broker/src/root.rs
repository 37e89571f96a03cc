//! The router's root directory, below which everything of ours lies.

use std::ffi::OsStr;
use std::path::{self, Path, PathBuf};
use std::{env, fmt};

/// Where the executable lies below the root, from the last component up.
const BELOW_ROOT: [&str; 3] = ["bin", "mqtt_broker", "opt"];

/// The root directory: `/` on a router, any directory in a simulated one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// Takes `given`, or finds the root from the program's own path.
    ///
    /// The path the program was called by goes first: it is the one that the scripts see too, even
    /// where `/opt` is a link to another place.
    pub(crate) fn find(given: Option<&Path>, called: Option<&OsStr>) -> Result<Root, Unknown> {
        if let Some(given) = given {
            return path::absolute(given).map(Root).map_err(|_| Unknown);
        }
        let called = called
            .map(Path::new)
            .filter(|called| called.components().count() > 1);
        let called = called.and_then(|called| path::absolute(called).ok());
        called
            .and_then(|program| above(&program))
            .or_else(|| env::current_exe().ok().and_then(|program| above(&program)))
            .ok_or(Unknown)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file that holds the supervisor's process id.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.0.join("var/run/mqtt_broker.pid")
    }

    /// The socket that tells the status page.
    pub(crate) fn observer_socket(&self) -> PathBuf {
        self.0.join("var/run/mqtt_broker.sock")
    }

    /// The datagram socket of the system log.
    pub(crate) fn log_socket(&self) -> PathBuf {
        self.0.join("dev/log")
    }
}

/// The root above a program `ROOT/opt/mqtt_broker/bin/PROGRAM`.
fn above(program: &Path) -> Option<Root> {
    let mut directory = program.parent()?;
    for name in BELOW_ROOT {
        if directory.file_name()? != name {
            return None;
        }
        directory = directory.parent()?;
    }
    Some(Root(directory.to_path_buf()))
}

/// The program lies outside of any root and was not told one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("This program does not lie in /opt/mqtt_broker/bin: name the root directory with --root DIR.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(program: &str) -> Result<Root, Unknown> {
        Root::find(None, Some(OsStr::new(program)))
    }

    #[test]
    fn a_router_has_its_root_at_the_top() {
        let root = called("/opt/mqtt_broker/bin/mqtt_broker").unwrap();
        assert_eq!(root.path(), Path::new("/"));
        assert_eq!(root.pid_file(), Path::new("/var/run/mqtt_broker.pid"));
        assert_eq!(root.log_socket(), Path::new("/dev/log"));
    }

    #[test]
    fn a_simulated_router_has_it_anywhere() {
        let root = called("/tmp/router/opt/mqtt_broker/bin/mqtt_broker").unwrap();
        assert_eq!(root.path(), Path::new("/tmp/router"));
        assert_eq!(root.log_socket(), Path::new("/tmp/router/dev/log"));
    }

    #[test]
    fn a_program_elsewhere_must_be_told() {
        // The test's own executable lies in a build directory.
        for program in [
            "mqtt_broker",
            "/usr/bin/mqtt_broker",
            "/bin/mqtt_broker",
            "/opt/other/bin/mqtt_broker",
            "",
        ] {
            assert_eq!(called(program), Err(Unknown), "{program}");
        }
        assert_eq!(Root::find(None, None), Err(Unknown));
    }

    #[test]
    fn what_is_given_wins() {
        let program = OsStr::new("/opt/mqtt_broker/bin/mqtt_broker");
        let root = Root::find(Some(Path::new("/tmp/router")), Some(program)).unwrap();
        assert_eq!(root.path(), Path::new("/tmp/router"));
    }

    #[test]
    fn a_relative_root_becomes_absolute() {
        let root = Root::find(Some(Path::new("router")), None).unwrap();
        assert_eq!(root.path(), env::current_dir().unwrap().join("router"));
        assert_eq!(Root::find(Some(Path::new("")), None), Err(Unknown));
    }
}
