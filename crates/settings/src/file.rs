//! The settings file on disk: read whole, replaced whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::MAX_FILE_BYTES;
use crate::values::Values;

/// The file's bytes; `None` if it does not exist. One larger than [`MAX_FILE_BYTES`] is an error.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        Err(too_large())
    } else {
        Ok(Some(bytes))
    }
}

/// Replaces the file: afterwards it is whole, the old or the new one, whenever the power is cut.
pub fn write(path: &Path, values: &Values) -> io::Result<()> {
    lock(path)?.write(values)
}

/// Waits until nobody else changes the file. To change only a part of it: lock, read, write.
pub fn lock(path: &Path) -> io::Result<Lock> {
    let target = resolve(path)?;
    let directory_name = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?
        .to_os_string();
    // The directory itself is locked: no file is left behind that could be in the way.
    let directory = File::open(&directory_name)?;
    wait_for(&directory)?;
    Ok(Lock {
        directory,
        directory_name,
        name,
    })
}

/// The exclusive right to replace a settings file, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    directory: File,
    directory_name: PathBuf,
    name: OsString,
}

impl Lock {
    /// Replaces the file, as [`write()`] does.
    pub fn write(&self, values: &Values) -> io::Result<()> {
        if values.iter().any(|(_, value)| value.contains(&0)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a value with a NUL byte can't be stored",
            ));
        }
        let bytes = Zeroizing::new(values.to_file());
        if bytes.len() > MAX_FILE_BYTES {
            return Err(too_large());
        }
        self.remove_stale()?;
        let temporary = self.directory_name.join(self.temporary_name()?);
        let replaced = self
            .fill(&temporary, &bytes)
            .and_then(|()| fs::rename(&temporary, self.directory_name.join(&self.name)));
        if replaced.is_err() {
            // Perhaps it was never made; the error that counts is the first.
            let _ = fs::remove_file(&temporary);
        }
        replaced?;
        self.directory.sync_all()
    }

    fn fill(&self, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)?;
        // Whatever the umask took away.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// `.settings.<32 hexadecimal digits>.tmp`
    fn temporary_name(&self) -> io::Result<OsString> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(format!(".{:032x}.tmp", u128::from_ne_bytes(random)));
        Ok(name)
    }

    /// A power cut may have left temporary files behind. Nobody else is writing one: we hold the lock.
    fn remove_stale(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory_name)? {
            let name = entry?.file_name();
            if self.is_temporary(&name) {
                // If this one can't go, the next one to write tries again.
                let _ = fs::remove_file(self.directory_name.join(&name));
            }
        }
        Ok(())
    }

    fn is_temporary(&self, name: &OsStr) -> bool {
        let random = name
            .as_bytes()
            .strip_prefix(b".")
            .and_then(|rest| rest.strip_prefix(self.name.as_bytes()));
        let random = random
            .and_then(|rest| rest.strip_prefix(b"."))
            .and_then(|rest| rest.strip_suffix(b".tmp"));
        random.is_some_and(|random| random.len() == 32 && random.iter().all(u8::is_ascii_hexdigit))
    }
}

fn wait_for(directory: &File) -> io::Result<()> {
    loop {
        match directory.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Some firmwares make the settings a symbolic link: its target is replaced, not the link.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    // As many as the kernel follows.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            // An absolute target replaces the whole path; a missing file is no link.
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("settings may have {MAX_FILE_BYTES} bytes at most"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_can_not_be_foreseen() {
        let directory = tempfile::TempDir::new().expect("a scratch directory");
        let lock = lock(&directory.path().join("settings")).expect("locked");
        let names = [
            lock.temporary_name().expect("random"),
            lock.temporary_name().expect("random"),
        ];
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|name| lock.is_temporary(name)));
    }

    #[test]
    fn nothing_that_exists_is_written_through() {
        let directory = tempfile::TempDir::new().expect("a scratch directory");
        let lock = lock(&directory.path().join("settings")).expect("locked");
        let (victim, planted) = (
            directory.path().join("victim"),
            directory.path().join("planted"),
        );
        fs::write(&victim, "precious").expect("written");
        std::os::unix::fs::symlink(&victim, &planted).expect("linked");
        for path in [&victim, &planted] {
            assert_eq!(
                lock.fill(path, b"x").unwrap_err().kind(),
                io::ErrorKind::AlreadyExists
            );
        }
        assert_eq!(fs::read(&victim).expect("there"), b"precious");
    }
}
