//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::module::{Tree, Upgrade};

/// Printed by `--help` and below every complaint about the command line.
pub(crate) const USAGE: &str = "\
Usage: simulator --root DIR [options]
  --root DIR                     the router's root: an empty or new directory, or one of an earlier run
  --listen ADDRESS:PORT          where the web pages are served (default 127.0.0.1:0, any free port)
  --user NAME                    login of the web pages (default root)
  --password PASSWORD            its password (default root)
  --install FILE.tgz             install this package before serving; may be given several times
  --upgrade keep|replace         what an upgrade does with the old tree (default replace)
  --uninstall-on-upgrade yes|no  whether an upgrade calls the old etc/uninstall (default yes)
  --hide NAME[,NAME...]          keep HTTP_HOST, HTTP_ORIGIN or HTTP_REFERER from the CGI programs
";

/// The variables that a router's web server may not hand to its CGI programs.
const HIDEABLE: [&str; 3] = ["HTTP_HOST", "HTTP_ORIGIN", "HTTP_REFERER"];

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Wish {
    Help,
    Run(Box<Arguments>),
}

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) root: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    /// Whether user or password were given, not assumed.
    pub(crate) login_given: bool,
    pub(crate) install: Vec<PathBuf>,
    pub(crate) upgrade: Upgrade,
    pub(crate) hide: Vec<&'static str>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unknown(String),
    NoValue(&'static str),
    NoRoot,
    Value {
        option: &'static str,
        value: String,
        wanted: &'static str,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unknown(argument) => write!(out, "unknown argument {argument:?}"),
            Fault::NoValue(option) => write!(out, "{option} needs a value"),
            Fault::NoRoot => write!(out, "--root is missing"),
            Fault::Value {
                option,
                value,
                wanted,
            } => write!(out, "{option} {value:?}: expected {wanted}"),
        }
    }
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Wish, Fault> {
        let mut root = None;
        let mut given = Arguments {
            root: PathBuf::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            user: "root".to_owned(),
            password: "root".to_owned(),
            login_given: false,
            install: Vec::new(),
            upgrade: Upgrade {
                tree: Tree::Replaced,
                uninstall: true,
            },
            hide: Vec::new(),
        };
        while let Some(word) = words.next() {
            match word.to_string_lossy().as_ref() {
                "--help" | "-h" => return Ok(Wish::Help),
                "--root" => root = Some(path("--root", &mut words)?),
                "--install" => given.install.push(path("--install", &mut words)?),
                "--listen" => {
                    let value = text("--listen", &mut words)?;
                    given.listen = value.parse().map_err(|_| Fault::Value {
                        option: "--listen",
                        value,
                        wanted: "a numeric address and a port, such as 127.0.0.1:8080",
                    })?;
                }
                "--user" => {
                    let value = text("--user", &mut words)?;
                    if value.is_empty() || value.chars().any(|c| c == ':' || c.is_control()) {
                        let wanted = "a name without a colon or control characters";
                        return Err(Fault::Value {
                            option: "--user",
                            value,
                            wanted,
                        });
                    }
                    given.user = value;
                    given.login_given = true;
                }
                "--password" => {
                    given.password = text("--password", &mut words)?;
                    given.login_given = true;
                }
                "--upgrade" => {
                    given.upgrade.tree = choice(
                        "--upgrade",
                        &mut words,
                        "keep or replace",
                        |value| match value {
                            "keep" => Some(Tree::Kept),
                            "replace" => Some(Tree::Replaced),
                            _ => None,
                        },
                    )?;
                }
                "--uninstall-on-upgrade" => {
                    given.upgrade.uninstall =
                        choice("--uninstall-on-upgrade", &mut words, "yes or no", |value| {
                            match value {
                                "yes" => Some(true),
                                "no" => Some(false),
                                _ => None,
                            }
                        })?;
                }
                "--hide" => {
                    let wanted = "HTTP_HOST, HTTP_ORIGIN or HTTP_REFERER, separated by commas";
                    given.hide = choice("--hide", &mut words, wanted, |value| {
                        let known =
                            |name: &str| HIDEABLE.into_iter().find(|known| *known == name.trim());
                        value.split(',').map(known).collect()
                    })?;
                }
                other => return Err(Fault::Unknown(other.to_owned())),
            }
        }
        given.root = root.ok_or(Fault::NoRoot)?;
        Ok(Wish::Run(Box::new(given)))
    }
}

fn path(
    option: &'static str,
    words: &mut impl Iterator<Item = OsString>,
) -> Result<PathBuf, Fault> {
    match words.next() {
        Some(word) if !word.is_empty() => Ok(PathBuf::from(word)),
        _ => Err(Fault::NoValue(option)),
    }
}

fn text(option: &'static str, words: &mut impl Iterator<Item = OsString>) -> Result<String, Fault> {
    words
        .next()
        .ok_or(Fault::NoValue(option))?
        .into_string()
        .map_err(|word| Fault::Value {
            option,
            value: word.to_string_lossy().into_owned(),
            wanted: "valid UTF-8",
        })
}

fn choice<T>(
    option: &'static str,
    words: &mut impl Iterator<Item = OsString>,
    wanted: &'static str,
    meaning: impl Fn(&str) -> Option<T>,
) -> Result<T, Fault> {
    let value = text(option, words)?;
    meaning(&value).ok_or(Fault::Value {
        option,
        value,
        wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Fault> {
        match Arguments::parse(line.split_whitespace().map(OsString::from))? {
            Wish::Run(arguments) => Ok(*arguments),
            Wish::Help => panic!("no help was asked for"),
        }
    }

    #[test]
    fn defaults() {
        let given = parse("--root /r").unwrap();
        assert_eq!(given.listen.to_string(), "127.0.0.1:0");
        assert_eq!(
            (given.user.as_str(), given.password.as_str()),
            ("root", "root")
        );
        assert!(!given.login_given);
        assert_eq!(
            given.upgrade,
            Upgrade {
                tree: Tree::Replaced,
                uninstall: true
            }
        );
    }

    #[test]
    fn everything() {
        let given = parse(
            "--root /r --listen [::1]:80 --user me --password pw --install a.tgz --install b.tgz \
             --upgrade keep --uninstall-on-upgrade no --hide HTTP_HOST,HTTP_REFERER",
        )
        .unwrap();
        assert_eq!(
            given.install,
            [PathBuf::from("a.tgz"), PathBuf::from("b.tgz")]
        );
        assert_eq!(given.hide, ["HTTP_HOST", "HTTP_REFERER"]);
        assert_eq!(
            given.upgrade,
            Upgrade {
                tree: Tree::Kept,
                uninstall: false
            }
        );
        assert!(given.login_given);
    }

    #[test]
    fn faults_are_sentences() {
        for (line, said) in [
            ("", "--root is missing"),
            ("--root", "--root needs a value"),
            ("--root /r --frob", "unknown argument \"--frob\""),
            (
                "--root /r --upgrade maybe",
                "--upgrade \"maybe\": expected keep or replace",
            ),
            (
                "--root /r --user a:b",
                "--user \"a:b\": expected a name without a colon or control characters",
            ),
            (
                "--root /r --hide PATH",
                "--hide \"PATH\": expected HTTP_HOST, HTTP_ORIGIN or HTTP_REFERER, separated by commas",
            ),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), said);
        }
    }
}
