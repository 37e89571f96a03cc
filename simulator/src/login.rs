//! The router's login: HTTP Basic (RFC 7617) against an htpasswd file of SHA-crypt hashes, as routers keep them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use sha_crypt::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use sha_crypt::{Algorithm, Params, ShaCrypt};

use crate::random;

/// Few, since every request is checked again and the file never leaves the desk.
const ROUNDS: u32 = Params::ROUNDS_MIN;

#[derive(Debug)]
pub(crate) enum LoginError {
    /// No login, a malformed one or a wrong one: ask for it.
    Refused,
    /// Nobody can log in.
    Unreadable(io::Error),
}

impl fmt::Display for LoginError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::Refused => write!(out, "the login of the router is needed"),
            LoginError::Unreadable(error) => {
                write!(out, "the file of the logins cannot be read: {error}")
            }
        }
    }
}

/// Makes `file` with one login.
pub(crate) fn write(file: &Path, user: &str, password: &str) -> io::Result<()> {
    let salt: [u8; 12] = random()?;
    let params = Params::new(ROUNDS).map_err(io::Error::other)?;
    let hash = ShaCrypt::new(Algorithm::Sha256Crypt, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(io::Error::other)?;
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    writeln!(file, "{user}:{}", hash.as_str())
}

/// The user's name, if the `Authorization` header holds a login of `file`.
pub(crate) fn check(file: &Path, authorization: Option<&[u8]>) -> Result<String, LoginError> {
    let text = fs::read_to_string(file).map_err(LoginError::Unreadable)?;
    let (user, password) = authorization
        .and_then(credentials)
        .ok_or(LoginError::Refused)?;
    let known = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == user);
    let (_, hash) = known.ok_or(LoginError::Refused)?;
    let hash = hash.split(':').next().unwrap_or_default();
    match ShaCrypt::SHA256.verify_password(&password, hash) {
        Ok(()) => Ok(user),
        Err(_) => Err(LoginError::Refused),
    }
}

/// User name and password of an `Authorization` header.
fn credentials(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let header = std::str::from_utf8(header).ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let mut pair = Base64::decode_vec(encoded.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let password = pair.split_off(colon + 1);
    pair.pop();
    Some((String::from_utf8(pair).ok()?, password))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn basic(pair: &[u8]) -> Vec<u8> {
        format!("Basic {}", Base64::encode_string(pair)).into_bytes()
    }

    #[test]
    fn the_file_made_here() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("htpasswd");
        write(&file, "root", "old").unwrap();
        write(&file, "root", "pä:ss").unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            fs::read_to_string(&file)
                .unwrap()
                .starts_with("root:$5$rounds=1000$")
        );
        assert_eq!(
            check(&file, Some(&basic("root:pä:ss".as_bytes()))).unwrap(),
            "root"
        );
        for wrong in ["root:old", "root:", "Root:pä:ss", ":pä:ss", "root", ""] {
            assert!(
                matches!(
                    check(&file, Some(&basic(wrong.as_bytes()))),
                    Err(LoginError::Refused)
                ),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_routers_file() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("htpasswd");
        // As `openssl passwd` makes them, with the default number of rounds; further fields as in shadow(5).
        let hash = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
        let other = "$6$abcdefgh$cnW4XDznaFa1hR9LnqrjoiAqed87oTXop3rUraOEgMC9xZ8cZ4bnv81B/PgWNFtDN0PNbtGZlCIhm8Jws2OPr0";
        fs::write(
            &file,
            format!(
                "# comment\nadmin:$1$old$scheme\nroot:{hash}:0:99999\nlocked:*\nother:{other}\n"
            ),
        )
        .unwrap();
        assert!(check(&file, Some(&basic(b"root:Hello world!"))).is_ok());
        assert!(check(&file, Some(&basic(b"other:root"))).is_ok());
        for wrong in ["root:Hello world", "admin:x", "locked:*", "# comment:x"] {
            assert!(
                check(&file, Some(&basic(wrong.as_bytes()))).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn headers() {
        assert_eq!(
            credentials(b"basic cm9vdDpwdw=="),
            Some(("root".to_owned(), b"pw".to_vec()))
        );
        for odd in [
            &b""[..],
            b"Basic",
            b"Basic !",
            b"Bearer cm9vdDpwdw==",
            b"Basic \xff",
            b"Basic cm9vdA==",
        ] {
            assert_eq!(credentials(odd), None, "{}", odd.escape_ascii());
        }
    }

    #[test]
    fn without_a_file_nobody_enters() {
        let nowhere = Path::new("/nonexistent/htpasswd");
        assert!(matches!(
            check(nowhere, Some(&basic(b"root:root"))),
            Err(LoginError::Unreadable(_))
        ));
    }
}
