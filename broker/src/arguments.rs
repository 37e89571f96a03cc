//! The command line of `mqtt_broker`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
MQTT broker for Advantech routers.

Usage:
  mqtt_broker [--root DIR] [--syslog] [--supervise] SETTINGS
  mqtt_broker --check FILE [--json]
  mqtt_broker --enabled FILE
  mqtt_broker --version | --help

  SETTINGS        the settings file; a missing one means the defaults
  --root DIR      the router's root directory, if the program does not lie
                  in DIR/opt/mqtt_broker/bin
  --syslog        log to the system log instead of standard error
  --supervise     hold the pid file, run the broker as a second process and
                  start that again should it crash
  --check FILE    name every error and warning in a settings file (- means
                  standard input); exit code 0 valid, 1 invalid, 2 unreadable
  --json          the same as one JSON object
  --enabled FILE  exit code 0 enabled, 1 disabled, 2 broken
  --version       print the version, and that of OpenSSL
  --help          print this text

SIGTERM and SIGINT end the broker, SIGHUP has it read its settings again.
";

/// What the program is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Be a broker.
    Run(Run),
    /// `--check`
    Check {
        /// Where the settings come from.
        source: Source,
        /// Whether to answer in JSON.
        json: bool,
    },
    /// `--enabled`
    Enabled(PathBuf),
    /// `--version`
    Version,
    /// `--help`
    Help,
}

/// How to be a broker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The settings file.
    pub(crate) settings: PathBuf,
    /// The router's root directory, if it is named.
    pub(crate) root: Option<PathBuf>,
    /// Log to the system log.
    pub(crate) syslog: bool,
    /// Which of the processes to be.
    pub(crate) role: Role,
}

/// Which process of the broker this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The only one, in the foreground.
    Alone,
    /// The one that starts the worker.
    Supervisor,
    /// The one that serves clients for the supervisor of this process id. Only the supervisor
    /// says so, hence `--help` does not.
    Worker(u32),
}

/// Settings to be checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `-`
    StandardInput,
    /// A path.
    File(PathBuf),
}

/// Reads the arguments, without the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Misuse> {
    Given::collect(arguments)?.command()
}

/// The arguments as given, each at most once.
#[derive(Default)]
struct Given {
    settings: Option<OsString>,
    root: Option<OsString>,
    check: Option<OsString>,
    enabled: Option<OsString>,
    worker: Option<OsString>,
    syslog: bool,
    supervise: bool,
    json: bool,
    version: bool,
    help: bool,
}

impl Given {
    fn collect(mut arguments: impl Iterator<Item = OsString>) -> Result<Given, Misuse> {
        let mut given = Given::default();
        let mut only_files = false;
        while let Some(argument) = arguments.next() {
            if only_files || !argument.as_encoded_bytes().starts_with(b"-") {
                store(&mut given.settings, argument, Misuse::SecondFile)?;
                continue;
            }
            let option = argument
                .to_str()
                .ok_or_else(|| Misuse::Unknown(argument.clone()))?;
            let mut value = |into: &mut Option<OsString>| {
                let missing = Misuse::NoValue(argument.clone());
                let value = arguments
                    .next()
                    .filter(|value| !value.is_empty())
                    .ok_or(missing)?;
                store(into, value, |_| Misuse::Twice(argument.clone()))
            };
            match option {
                "--" => only_files = true,
                "--root" => value(&mut given.root)?,
                "--check" => value(&mut given.check)?,
                "--enabled" => value(&mut given.enabled)?,
                "--worker" => value(&mut given.worker)?,
                "--syslog" => given.syslog = true,
                "--supervise" => given.supervise = true,
                "--json" => given.json = true,
                "--version" => given.version = true,
                "--help" | "-h" => given.help = true,
                _ => return Err(Misuse::Unknown(argument)),
            }
        }
        Ok(given)
    }

    fn command(self) -> Result<Command, Misuse> {
        if self.help {
            return Ok(Command::Help);
        }
        if self.version {
            return Ok(Command::Version);
        }
        let runs = self.root.is_some() || self.syslog || self.supervise || self.worker.is_some();
        match (self.check, self.enabled, self.settings) {
            (Some(_), None, None) | (None, Some(_), None) if runs => Err(Misuse::Together),
            (Some(file), None, None) => {
                let source = if file == OsStr::new("-") {
                    Source::StandardInput
                } else {
                    Source::File(file.into())
                };
                Ok(Command::Check {
                    source,
                    json: self.json,
                })
            }
            (None, _, _) if self.json => Err(Misuse::JsonAlone),
            (None, Some(file), None) => Ok(Command::Enabled(file.into())),
            (None, None, Some(settings)) => Ok(Command::Run(Run {
                settings: settings.into(),
                root: self.root.map(PathBuf::from),
                syslog: self.syslog,
                role: role(self.supervise, self.worker)?,
            })),
            (None, None, None) => Err(Misuse::NoSettings),
            _ => Err(Misuse::Together),
        }
    }
}

fn role(supervise: bool, worker: Option<OsString>) -> Result<Role, Misuse> {
    match (supervise, worker) {
        (false, None) => Ok(Role::Alone),
        (true, None) => Ok(Role::Supervisor),
        (true, Some(_)) => Err(Misuse::Together),
        (false, Some(supervisor)) => {
            let number = supervisor.to_str().and_then(|text| text.parse().ok());
            number
                .map(Role::Worker)
                .ok_or(Misuse::NotANumber(supervisor))
        }
    }
}

fn store(
    into: &mut Option<OsString>,
    value: OsString,
    twice: impl FnOnce(OsString) -> Misuse,
) -> Result<(), Misuse> {
    match into {
        Some(_) => Err(twice(value)),
        None => {
            *into = Some(value);
            Ok(())
        }
    }
}

/// Arguments that make no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misuse {
    /// An option nobody knows.
    Unknown(OsString),
    /// An option whose value is missing.
    NoValue(OsString),
    /// An option given twice.
    Twice(OsString),
    /// More than one settings file.
    SecondFile(OsString),
    /// No settings file.
    NoSettings,
    /// `--json` without `--check`.
    JsonAlone,
    /// A process id that is no number.
    NotANumber(OsString),
    /// Options that exclude each other.
    Together,
}

impl fmt::Display for Misuse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::Unknown(option) => write!(out, "Unknown option {}.", option.display()),
            Misuse::NoValue(option) => {
                write!(out, "The option {} needs a value.", option.display())
            }
            Misuse::Twice(option) => write!(out, "The option {} is given twice.", option.display()),
            Misuse::SecondFile(file) => {
                write!(
                    out,
                    "One settings file is enough: what is {} for?",
                    file.display()
                )
            }
            Misuse::NoSettings => out.write_str("Name the settings file."),
            Misuse::JsonAlone => out.write_str("The option --json belongs to --check."),
            Misuse::NotANumber(text) => write!(out, "{} is no process id.", text.display()),
            Misuse::Together => out.write_str("These options do not go together."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Misuse> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn run(root: Option<&str>, syslog: bool, role: Role) -> Result<Command, Misuse> {
        let (settings, root) = ("/etc/settings".into(), root.map(PathBuf::from));
        Ok(Command::Run(Run {
            settings,
            root,
            syslog,
            role,
        }))
    }

    #[test]
    fn roles() {
        assert_eq!(parsed("/etc/settings"), run(None, false, Role::Alone));
        assert_eq!(
            parsed("--syslog /etc/settings"),
            run(None, true, Role::Alone)
        );
        assert_eq!(
            parsed("--supervise --syslog /etc/settings"),
            run(None, true, Role::Supervisor)
        );
        assert_eq!(
            parsed("/etc/settings --root /r --supervise"),
            run(Some("/r"), false, Role::Supervisor)
        );
        assert_eq!(
            parsed("--worker 12 --root / -- /etc/settings"),
            run(Some("/"), false, Role::Worker(12))
        );
    }

    #[test]
    fn questions() {
        let file = || Source::File("file".into());
        assert_eq!(
            parsed("--check file"),
            Ok(Command::Check {
                source: file(),
                json: false
            })
        );
        assert_eq!(
            parsed("--json --check file"),
            Ok(Command::Check {
                source: file(),
                json: true
            })
        );
        assert_eq!(
            parsed("--check - --json"),
            Ok(Command::Check {
                source: Source::StandardInput,
                json: true
            })
        );
        assert_eq!(
            parsed("--enabled file"),
            Ok(Command::Enabled("file".into()))
        );
        assert_eq!(parsed("--version"), Ok(Command::Version));
        assert_eq!(parsed("--help"), Ok(Command::Help));
        assert_eq!(parsed("-h settings"), Ok(Command::Help));
    }

    #[test]
    fn a_file_may_begin_with_a_dash() {
        let Ok(Command::Run(run)) = parsed("-- --syslog") else {
            panic!()
        };
        assert_eq!(
            (run.settings, run.syslog),
            (PathBuf::from("--syslog"), false)
        );
    }

    #[test]
    fn misuse() {
        let text = OsString::from;
        assert_eq!(parsed(""), Err(Misuse::NoSettings));
        assert_eq!(parsed("--syslog"), Err(Misuse::NoSettings));
        assert_eq!(parsed("--sylog f"), Err(Misuse::Unknown(text("--sylog"))));
        assert_eq!(
            parsed("--root=/r f"),
            Err(Misuse::Unknown(text("--root=/r")))
        );
        assert_eq!(parsed("-"), Err(Misuse::Unknown(text("-"))));
        assert_eq!(parsed("f --root"), Err(Misuse::NoValue(text("--root"))));
        assert_eq!(
            parsed("--root a --root b f"),
            Err(Misuse::Twice(text("--root")))
        );
        assert_eq!(parsed("f g"), Err(Misuse::SecondFile(text("g"))));
        assert_eq!(parsed("--json f"), Err(Misuse::JsonAlone));
        assert_eq!(parsed("--enabled f --json"), Err(Misuse::JsonAlone));
        assert_eq!(parsed("--worker x f"), Err(Misuse::NotANumber(text("x"))));
        for line in [
            "--check f --enabled f",
            "--check f g",
            "--enabled f g",
            "--check f --syslog",
            "--enabled f --root /r",
            "--supervise --worker 1 f",
        ] {
            assert_eq!(parsed(line), Err(Misuse::Together), "{line}");
        }
    }

    #[test]
    fn arguments_need_not_be_text() {
        use std::os::unix::ffi::OsStringExt;
        let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        assert!(matches!(
            parse([odd(b"\xff")].into_iter()),
            Ok(Command::Run(_))
        ));
        let unknown = parse([odd(b"--\xff")].into_iter()).unwrap_err();
        assert_eq!(unknown.to_string(), "Unknown option --\u{fffd}.");
    }
}
