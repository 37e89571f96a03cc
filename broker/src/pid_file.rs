//! The pid file: says which process is the broker, and that there is only one.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, process};

use rustix::fs::OFlags;

/// How often a file that vanishes under our hands is opened anew.
const TRIES: u32 = 1000;

/// A pid file of this process, locked while it lives.
///
/// The lock ends with the process however that ends, so a file left over by a killed broker or
/// by a power cut means nothing.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Takes the pid file, unless another process holds it.
    pub(crate) fn take(path: &Path) -> Result<PidFile, NotTaken> {
        for _ in 0..TRIES {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(NotTaken::Held(holder(file))),
                Err(TryLockError::Error(error)) => return Err(NotTaken::Failed(error)),
            }
            let mut taken = PidFile {
                path: path.to_path_buf(),
                file,
            };
            // The former holder may have removed the file between the two steps above.
            if taken.is_in_place() {
                taken.write()?;
                return Ok(taken);
            }
        }
        Err(NotTaken::Failed(io::Error::other(
            "it does not stay in place",
        )))
    }

    /// Removes the file, as the last act of an orderly end.
    pub(crate) fn remove(self) {
        // Never another's: someone may have deleted ours by hand.
        if self.is_in_place()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }

    /// Writes our process id. Whoever reads meanwhile finds either number on the first line.
    fn write(&mut self) -> io::Result<()> {
        let text = format!("{}\n", process::id());
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)?;
        self.file.flush()
    }

    /// Whether the file we hold is the one that others find.
    fn is_in_place(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = self.file.metadata().map(identity);
        let theirs = fs::symlink_metadata(&self.path).map(identity);
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
    }
}

fn open(path: &Path) -> Result<File, NotTaken> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
                fs::set_permissions(directory, Permissions::from_mode(0o755))?;
            }
            options.open(path)?
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(NotTaken::Failed(io::Error::other("it is no regular file")));
    }
    Ok(file)
}

/// The process id in another's file, if it is there already.
fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.lines().next()?.parse().ok()
}

/// Why a pid file was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// Another process, of this id if it is known, holds it.
    Held(Option<u32>),
    /// The file cannot be used.
    Failed(io::Error),
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> NotTaken {
        NotTaken::Failed(error)
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotTaken::Held(Some(pid)) => {
                write!(out, "mqtt_broker is running already as process {pid}")
            }
            NotTaken::Held(None) => out.write_str("mqtt_broker is running already"),
            NotTaken::Failed(error) => write!(out, "the pid file cannot be used: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn path(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join("var/run/mqtt_broker.pid")
    }

    #[test]
    fn it_names_this_process_and_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        let file = PidFile::take(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", process::id())
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn only_one_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        let first = PidFile::take(&path).unwrap();
        let refusal = PidFile::take(&path).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            format!(
                "mqtt_broker is running already as process {}",
                process::id()
            )
        );
        first.remove();
        PidFile::take(&path).unwrap();
    }

    #[test]
    fn a_file_left_over_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        drop(PidFile::take(&path).unwrap());
        fs::write(&path, "99999999999999\nrest").unwrap();
        let _taken = PidFile::take(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", process::id())
        );
    }

    #[test]
    fn links_and_odd_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let link = directory.path().join("link");
        symlink(&victim, &link).unwrap();
        for path in [link.as_path(), directory.path(), Path::new("/dev/null")] {
            assert!(
                matches!(PidFile::take(path), Err(NotTaken::Failed(_))),
                "{}",
                path.display()
            );
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn the_file_of_another_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        let first = PidFile::take(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = PidFile::take(&path).unwrap();
        first.remove();
        assert!(path.exists());
        second.remove();
        assert!(!path.exists());
    }

    #[test]
    fn many_at_once_and_one_holder_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let directory = tempfile::tempdir().unwrap();
        let (path, holders) = (path(&directory), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let Ok(file) = PidFile::take(&path) else {
                            continue;
                        };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        file.remove();
                    }
                });
            }
        });
    }
}
