//! Which names and link targets a package may hold.

use std::fmt;
use std::path::{Path, PathBuf};

/// Directories below each other, the top directory included.
const MAX_DEPTH: usize = 16;

/// Bytes in a whole name.
const MAX_NAME: usize = 512;

/// Bytes between two slashes (NAME_MAX).
const MAX_COMPONENT: usize = 255;

/// Bytes in the name of the top directory.
const MAX_TOP: usize = 64;

/// What is wrong with the name or the target of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameFault {
    Unprintable,
    Absolute,
    Climbs,
    TooLong,
    TooDeep,
    TopDirectory,
    EmptyTarget,
    AbsoluteTarget,
    LateClimb,
    LeavesTree,
}

impl fmt::Display for NameFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameFault::Unprintable => write!(out, "its name is not plain UTF-8 text"),
            NameFault::Absolute => write!(out, "its name starts at the root of the file system"),
            NameFault::Climbs => write!(out, "its name climbs out of the package with \"..\""),
            NameFault::TooLong => {
                write!(
                    out,
                    "its name has more than {MAX_NAME} bytes, or {MAX_COMPONENT} between two slashes"
                )
            }
            NameFault::TooDeep => write!(out, "it lies more than {MAX_DEPTH} directories deep"),
            NameFault::TopDirectory => write!(
                out,
                "the name of the top directory may hold letters, digits and underscores only, {MAX_TOP} at most"
            ),
            NameFault::EmptyTarget => write!(out, "it is a link to nothing"),
            NameFault::AbsoluteTarget => write!(
                out,
                "it is a link to an absolute name, which only www/.htpasswd -> /etc/htpasswd may be"
            ),
            NameFault::LateClimb => write!(
                out,
                "its target has \"..\" after a name, which can lead anywhere"
            ),
            NameFault::LeavesTree => write!(out, "it is a link that leads out of the package"),
        }
    }
}

/// The name of an entry without `.` and doubled slashes; empty for `./` itself.
pub(crate) fn entry_name(name: &[u8]) -> Result<PathBuf, NameFault> {
    let name = plain(name)?;
    if name.starts_with('/') {
        return Err(NameFault::Absolute);
    }
    if name.len() > MAX_NAME {
        return Err(NameFault::TooLong);
    }
    let mut path = PathBuf::new();
    for (depth, component) in name
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .enumerate()
    {
        if component == ".." {
            return Err(NameFault::Climbs);
        }
        if component.len() > MAX_COMPONENT {
            return Err(NameFault::TooLong);
        }
        if depth == 0 && !is_module_name(component) {
            return Err(NameFault::TopDirectory);
        }
        if depth == MAX_DEPTH {
            return Err(NameFault::TooDeep);
        }
        path.push(component);
    }
    Ok(path)
}

/// The target of the link `link`, if it stays inside the package whatever other links there are.
///
/// A link lies in a real directory, so leading `..` mean what they say; below that point every further link has been
/// checked the same way. A `..` after a name could follow a link and climb from there, so there may be none.
pub(crate) fn link_target(link: &Path, target: &[u8]) -> Result<PathBuf, NameFault> {
    let target = plain(target)?;
    if target.is_empty() {
        return Err(NameFault::EmptyTarget);
    }
    if target.len() > MAX_NAME {
        return Err(NameFault::TooLong);
    }
    if target.starts_with('/') {
        let is_login = target == "/etc/htpasswd"
            && link
                .components()
                .skip(1)
                .eq(Path::new("www/.htpasswd").components());
        return if is_login {
            Ok(PathBuf::from(target))
        } else {
            Err(NameFault::AbsoluteTarget)
        };
    }
    // How many directories lie between the link and the top directory.
    let mut room = link.components().count().saturating_sub(2);
    let mut descending = false;
    for component in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if component != ".." {
            descending = true;
        } else if descending {
            return Err(NameFault::LateClimb);
        } else {
            room = room.checked_sub(1).ok_or(NameFault::LeavesTree)?;
        }
    }
    Ok(PathBuf::from(target))
}

/// Whether the firmware takes this for the directory of a module: a hyphen, for one, makes it somebody's data.
pub(crate) fn is_module_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_TOP
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn plain(name: &[u8]) -> Result<&str, NameFault> {
    let name = std::str::from_utf8(name).map_err(|_| NameFault::Unprintable)?;
    if name.chars().any(char::is_control) {
        Err(NameFault::Unprintable)
    } else {
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            entry_name(b"./app//etc/./init").unwrap(),
            Path::new("app/etc/init")
        );
        assert_eq!(entry_name(b"./").unwrap(), Path::new(""));
        for (name, fault) in [
            (&b"/app/x"[..], NameFault::Absolute),
            (b"app/../../x", NameFault::Climbs),
            (b"..", NameFault::Climbs),
            (b"app-data/x", NameFault::TopDirectory),
            (b".app/x", NameFault::TopDirectory),
            ("äpp/x".as_bytes(), NameFault::TopDirectory),
            (b"app/x\ny", NameFault::Unprintable),
            (b"app/\xff", NameFault::Unprintable),
        ] {
            assert_eq!(entry_name(name), Err(fault), "{}", name.escape_ascii());
        }
        let deep = |depth: usize| format!("app{}", "/d".repeat(depth - 1));
        assert!(entry_name(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            entry_name(deep(MAX_DEPTH + 1).as_bytes()),
            Err(NameFault::TooDeep)
        );
        assert_eq!(
            entry_name(format!("app/{}", "x".repeat(256)).as_bytes()),
            Err(NameFault::TooLong)
        );
        assert_eq!(
            entry_name("a".repeat(MAX_TOP + 1).as_bytes()),
            Err(NameFault::TopDirectory)
        );
    }

    #[test]
    fn targets() {
        for (link, target) in [
            ("app/www/index.cgi", "../bin/cgi"),
            ("app/www/.htpasswd", "/etc/htpasswd"),
            ("app/bin/mosquitto_pub", "mqtt_broker"),
            ("app/a/b/c", "../../x/y"),
            ("app/up", "."),
        ] {
            assert_eq!(
                link_target(Path::new(link), target.as_bytes()).unwrap(),
                Path::new(target)
            );
        }
        for (link, target, fault) in [
            ("app/x", "", NameFault::EmptyTarget),
            ("app/x", "..", NameFault::LeavesTree),
            (
                "app/www/x",
                "../../other/etc/settings",
                NameFault::LeavesTree,
            ),
            ("app/www/x", "/etc/htpasswd", NameFault::AbsoluteTarget),
            (
                "app/www/.htpasswd",
                "/etc/shadow",
                NameFault::AbsoluteTarget,
            ),
            (
                "app/sub/www/.htpasswd",
                "/etc/htpasswd",
                NameFault::AbsoluteTarget,
            ),
            ("app/.htpasswd", "/etc/htpasswd", NameFault::AbsoluteTarget),
            ("app/a/x", "b/../../..", NameFault::LateClimb),
            ("app/a/x", "b/..", NameFault::LateClimb),
            ("app/a/x", "b\0c", NameFault::Unprintable),
        ] {
            assert_eq!(
                link_target(Path::new(link), target.as_bytes()),
                Err(fault),
                "{link} -> {target}"
            );
        }
    }
}
