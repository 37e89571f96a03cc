//! The token that proves a posted form was ours: 128 random bits, made once per boot.
//!
//! A page of another site can make the browser post to us, with the router's login, but cannot read
//! this value. It lies in a file on tmpfs that root alone may read, so no session has to be stored
//! and a reboot makes a new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use subtle::ConstantTimeEq;

const BYTES: usize = 16;

/// The token of this boot, as 32 hexadecimal digits.
pub(crate) struct Token(String);

impl Token {
    /// The token in `path`; it is made if the file does not exist or is not one that this function
    /// wrote.
    pub(crate) fn obtain(path: &Path) -> io::Result<Token> {
        if let Some(token) = stored(path)? {
            return Ok(token);
        }
        let token = Token(random_digits(BYTES)?);
        // Written beside and linked into place: the link fails if the name exists, and no other
        // process ever reads half a token.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", random_digits(4)?));
        let fresh = Path::new(&fresh);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(fresh)?;
        let linked = file
            .write_all(token.0.as_bytes())
            .and_then(|()| fs::hard_link(fresh, path));
        fs::remove_file(fresh)?;
        match linked {
            Ok(()) => Ok(token),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                stored(path)?.ok_or_else(|| io::Error::other("its file keeps being replaced"))
            }
            Err(error) => Err(error),
        }
    }

    /// The value for the hidden field of the form.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this token, in a time that does not depend on where they differ.
    pub(crate) fn matches(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }
}

/// The token in the file, if there is one that can be trusted. Anything else under that name (a
/// link, a file that others may read or write, other content) is removed.
fn stored(path: &Path) -> io::Result<Option<Token>> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if metadata.is_file() && metadata.mode() & 0o777 == 0o600 && metadata.len() == 2 * BYTES as u64
    {
        let text = fs::read(path)?;
        if text.len() == 2 * BYTES && text.iter().all(u8::is_ascii_hexdigit) {
            return Ok(String::from_utf8(text).ok().map(Token));
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(None),
    }
}

fn random_digits(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("a scratch directory")
    }

    #[test]
    fn it_is_made_once_and_then_kept() {
        let directory = scratch();
        let path = directory.path().join("token");
        let first = Token::obtain(&path).unwrap();
        assert_eq!(first.as_str().len(), 32);
        assert!(first.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(Token::obtain(&path).unwrap().as_str(), first.as_str());
    }

    #[test]
    fn nobody_else_may_read_it() {
        let directory = scratch();
        let path = directory.path().join("token");
        Token::obtain(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn two_boots_have_two_tokens() {
        let directory = scratch();
        let one = Token::obtain(&directory.path().join("one")).unwrap();
        let two = Token::obtain(&directory.path().join("two")).unwrap();
        assert_ne!(one.as_str(), two.as_str());
    }

    #[test]
    fn only_the_very_same_matches() {
        let directory = scratch();
        let token = Token::obtain(&directory.path().join("token")).unwrap();
        assert!(token.matches(token.as_str().as_bytes()));
        assert!(!token.matches(b""));
        assert!(!token.matches(&token.as_str().as_bytes()[..31]));
        assert!(!token.matches(format!("{}0", token.as_str()).as_bytes()));
        assert!(!token.matches(&[b'0'; 32]));
    }

    #[test]
    fn a_file_that_others_may_read_is_replaced() {
        let directory = scratch();
        let path = directory.path().join("token");
        fs::write(&path, [b'a'; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_ne!(Token::obtain(&path).unwrap().as_str(), "a".repeat(32));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_replaced() {
        let directory = scratch();
        let path = directory.path().join("token");
        for content in [&b""[..], b"short", &[b'z'; 32], &[0xFF; 32], &[b'a'; 4096]] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(Token::obtain(&path).unwrap().as_str().len(), 32);
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = scratch();
        let target = directory.path().join("target");
        let path = directory.path().join("token");
        fs::write(&target, [b'a'; 32]).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&target, &path).unwrap();
        assert_ne!(Token::obtain(&path).unwrap().as_str(), "a".repeat(32));
        assert_eq!(fs::read(&target).unwrap(), [b'a'; 32]);
    }

    #[test]
    fn a_directory_that_does_not_exist_is_an_error() {
        let directory = scratch();
        assert!(Token::obtain(&directory.path().join("missing/token")).is_err());
    }

    #[test]
    fn many_at_once_agree() {
        let directory = scratch();
        let path = directory.path().join("token");
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| Token::obtain(&path).unwrap().as_str().to_owned()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(tokens.iter().all(|token| token == &tokens[0]));
    }
}
