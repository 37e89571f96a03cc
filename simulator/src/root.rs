//! The scratch directory that stands for the router's root.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Directories every router has, as far as packages touch them.
const DIRECTORIES: [&str; 7] = ["opt", "etc", "dev", "usr/bin", "var/run", "var/log", "tmp"];

/// In memory on a router, so empty after every start.
const VOLATILE: [&str; 3] = ["var/run", "var/log", "tmp"];

/// Keeps a second simulator away and says how the last one ended: two words, see [`Root::mark`].
const MARK: &str = ".simulator";

/// The address of a unix socket holds 107 bytes (unix(7)); this leaves 27 for `/var/run/<name>.sock`.
const MAX_PATH: usize = 80;

#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    mark: File,
    /// Whether `var` and `tmp` were made here, and so may be emptied.
    own: bool,
    lost_power: bool,
}

#[derive(Debug)]
pub(crate) enum RootError {
    Real,
    TooLong { path: PathBuf, bytes: usize },
    Busy(PathBuf),
    Io { path: PathBuf, error: io::Error },
}

impl fmt::Display for RootError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RootError::Real => write!(
                out,
                "the root of this machine cannot be the simulated one; name a scratch directory"
            ),
            RootError::TooLong { path, bytes } => write!(
                out,
                "the root's path {} has {bytes} bytes; more than {MAX_PATH} leave no room for the unix sockets below it, \
                 whose addresses hold 107 bytes: choose a shorter one",
                path.display()
            ),
            RootError::Busy(path) => write!(out, "another simulator is using {}", path.display()),
            RootError::Io { path, error } => write!(out, "{}: {error}", path.display()),
        }
    }
}

impl Root {
    /// Makes what is missing below `directory` and takes it for this process.
    pub(crate) fn lay_out(directory: &Path) -> Result<Root, RootError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| RootError::Io { path, error }
        };
        fs::create_dir_all(directory).map_err(at(directory))?;
        let path = directory.canonicalize().map_err(at(directory))?;
        if path == Path::new("/") {
            return Err(RootError::Real);
        }
        let bytes = path.as_os_str().as_bytes().len();
        if bytes > MAX_PATH {
            return Err(RootError::TooLong { path, bytes });
        }

        let mark_path = path.join(MARK);
        let mut mark = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&mark_path)
            .map_err(at(&mark_path))?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RootError::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(at(&mark_path)(error)),
        }
        let mut state = String::new();
        mark.read_to_string(&mut state).map_err(at(&mark_path))?;
        let mut words = state.split_whitespace();
        let own = match words.next() {
            Some(word) => word == "own",
            None => !path.join("var").exists() && !path.join("tmp").exists(),
        };
        let lost_power = words.next() == Some("on");

        for name in DIRECTORIES {
            let directory = path.join(name);
            fs::create_dir_all(&directory).map_err(at(&directory))?;
        }
        let mut root = Root {
            path,
            mark,
            own,
            lost_power,
        };
        root.mark(if lost_power { "on" } else { "off" })
            .map_err(at(&mark_path))?;
        Ok(root)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn htpasswd(&self) -> PathBuf {
        self.path.join("etc/htpasswd")
    }

    pub(crate) fn log_socket(&self) -> PathBuf {
        self.path.join("dev/log")
    }

    pub(crate) fn log_directory(&self) -> PathBuf {
        self.path.join("var/log")
    }

    /// Whether the last simulator on this root was killed.
    pub(crate) fn lost_power(&self) -> bool {
        self.lost_power
    }

    /// Starts this run: empties what a reboot empties, unless the directory held it before the first run.
    pub(crate) fn power_on(&mut self) -> Result<(), RootError> {
        if self.own {
            for name in VOLATILE {
                let directory = self.path.join(name);
                empty(&directory).map_err(|error| RootError::Io {
                    path: directory,
                    error,
                })?;
            }
        }
        self.mark("on").map_err(|error| RootError::Io {
            path: self.path.join(MARK),
            error,
        })
    }

    /// Says that this run ended in order.
    pub(crate) fn power_off(mut self) {
        // Should it fail, the next run stops every module once too often.
        let _ = self.mark("off");
    }

    fn mark(&mut self, power: &str) -> io::Result<()> {
        let own = if self.own { "own" } else { "foreign" };
        self.mark.set_len(0)?;
        self.mark.rewind()?;
        writeln!(self.mark, "{own} {power}")
    }
}

fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reboot_empties_only_what_was_made_here() {
        for foreign in [false, true] {
            let scratch = tempfile::tempdir().unwrap();
            if foreign {
                fs::create_dir_all(scratch.path().join("tmp")).unwrap();
            }
            Root::lay_out(scratch.path()).unwrap().power_off();
            fs::write(scratch.path().join("tmp/mine"), "").unwrap();
            fs::write(scratch.path().join("opt/kept"), "").unwrap();

            let mut root = Root::lay_out(scratch.path()).unwrap();
            assert!(!root.lost_power());
            root.power_on().unwrap();
            assert_eq!(scratch.path().join("tmp/mine").exists(), foreign);
            assert!(scratch.path().join("opt/kept").exists());
        }
    }

    #[test]
    fn a_kill_is_noticed() {
        let scratch = tempfile::tempdir().unwrap();
        drop(Root::lay_out(scratch.path()).unwrap());
        let mut root = Root::lay_out(scratch.path()).unwrap();
        assert!(!root.lost_power(), "it was never on");
        root.power_on().unwrap();
        drop(root);
        assert!(Root::lay_out(scratch.path()).unwrap().lost_power());
    }

    #[test]
    fn one_simulator_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let _first = Root::lay_out(scratch.path()).unwrap();
        assert!(matches!(
            Root::lay_out(scratch.path()),
            Err(RootError::Busy(_))
        ));
    }

    #[test]
    fn unfit_roots_are_refused() {
        assert!(matches!(
            Root::lay_out(Path::new("/")),
            Err(RootError::Real)
        ));
        let scratch = tempfile::tempdir().unwrap();
        let long = scratch.path().join("x".repeat(MAX_PATH));
        assert!(matches!(
            Root::lay_out(&long),
            Err(RootError::TooLong { .. })
        ));
    }
}
