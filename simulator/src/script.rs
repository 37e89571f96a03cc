//! Runs a package's own scripts as the firmware does: with BusyBox ash, a small environment and an end to patience.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smol::io::AsyncReadExt as _;
use smol::process::Command;

use crate::within;

/// As in the shell of a router, for scripts and CGI programs alike.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/sbin:/bin:/usr/sbin:/usr/bin"),
    ("HOME", "/"),
    ("SHELL", "/bin/sh"),
];

/// How long a script may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long its output is awaited after a script has ended; what it started may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What is kept of the output.
const MAX_OUTPUT: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Standard output and standard error as they came.
    pub(crate) output: String,
}

#[derive(Debug)]
pub(crate) enum End {
    Exited(ExitStatus),
    TimedOut(Duration),
    NotExecutable,
    NotStarted(io::Error),
}

impl End {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, End::Exited(status) if status.success())
    }
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exited(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(out, "exit status {code}"),
                (None, signal) => write!(out, "ended by signal {}", signal.unwrap_or_default()),
            },
            End::TimedOut(limit) => write!(
                out,
                "killed, for it took more than {} seconds",
                limit.as_secs_f32()
            ),
            End::NotExecutable => {
                write!(out, "not run, for the package did not mark it executable")
            }
            End::NotStarted(error) => write!(out, "not run: {error}"),
        }
    }
}

/// Runs `script`; whoever drops the future kills it.
pub(crate) async fn run(script: &Path, arguments: &[&OsStr], patience: Duration) -> Outcome {
    let failed = |end| Outcome {
        end,
        output: String::new(),
    };
    match fs::metadata(script) {
        // BusyBox would read it all the same; the firmware executes it.
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => return failed(End::NotExecutable),
        Ok(_) => {}
        Err(error) => return failed(End::NotStarted(error)),
    }
    let (mut child, pipe) = match spawn(script, arguments) {
        Ok(started) => started,
        Err(error) => return failed(End::NotStarted(error)),
    };
    let output = Arc::new(Mutex::new(Vec::new()));
    let mut reading = smol::spawn(collect(pipe, output.clone()));
    let end = match within(patience, child.status()).await {
        Some(Ok(status)) => End::Exited(status),
        Some(Err(error)) => End::NotStarted(error),
        None => {
            // Its pid alone: what it started in the background is none of the firmware's business.
            let _ = child.kill();
            End::TimedOut(patience)
        }
    };
    if within(LAST_WORDS, &mut reading).await.is_none() {
        // A daemon that kept the pipe would die of SIGPIPE at its next word if nobody read on.
        reading.detach();
    }
    let output = output.lock().unwrap_or_else(PoisonError::into_inner);
    Outcome {
        end,
        output: String::from_utf8_lossy(&output).into_owned(),
    }
}

fn spawn(
    script: &Path,
    arguments: &[&OsStr],
) -> io::Result<(smol::process::Child, smol::Async<File>)> {
    let (reader, writer) = io::pipe()?;
    let mut command = match (busybox(), shell_options(script)) {
        (Some(busybox), Some(options)) => {
            let mut command = std::process::Command::new(busybox);
            command.arg("ash").args(options).arg(script);
            command
        }
        _ => std::process::Command::new(script),
    };
    // A group of its own keeps Ctrl-C at the desk from what the script starts: `etc/init stop` ends that.
    command
        .args(arguments)
        .env_clear()
        .envs(ENVIRONMENT)
        .current_dir("/")
        .process_group(0);
    let mut command = Command::from(command);
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .kill_on_drop(true);
    let child = command.spawn()?;
    let pipe = smol::Async::new(File::from(OwnedFd::from(reader)))?;
    Ok((child, pipe))
}

/// Reads to the end, keeping what fits.
async fn collect(mut pipe: smol::Async<File>, output: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_OUTPUT - output.len();
        output.extend_from_slice(&chunk[..length.min(room)]);
    }
}

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox", "/sbin/busybox"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file())
}

/// The options in `#!/bin/sh -e`, or nothing if the file is not for the shell of a router.
fn shell_options(script: &Path) -> Option<Vec<String>> {
    let mut start = Vec::new();
    File::open(script)
        .ok()?
        .take(256)
        .read_to_end(&mut start)
        .ok()?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = std::str::from_utf8(line)
        .ok()?
        .split_whitespace()
        .map(str::to_owned);
    let shell = words.next()?;
    matches!(shell.as_str(), "/bin/sh" | "/bin/ash").then(|| words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/scripts")
            .join(name)
    }

    fn run_fixture(name: &str, arguments: &[&str], patience: Duration) -> Outcome {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        smol::block_on(run(&fixture(name), &arguments, patience))
    }

    #[test]
    fn arguments_output_and_status() {
        let outcome = run_fixture("echo.sh", &["start", "a b"], PATIENCE);
        assert_eq!(
            outcome.output,
            "out start|a b\nerr /sbin:/bin:/usr/sbin:/usr/bin\n"
        );
        assert_eq!(outcome.end.to_string(), "exit status 3");
        assert!(!outcome.end.is_success());
    }

    #[test]
    fn patience_ends() {
        let outcome = run_fixture("hang.sh", &[], Duration::from_millis(300));
        assert_eq!(
            outcome.end.to_string(),
            "killed, for it took more than 0.3 seconds"
        );
        assert_eq!(outcome.output, "waiting\n");
    }

    #[test]
    fn a_daemon_on_the_pipe_is_not_waited_for() {
        // The daemon ends when the pid file that the script names is removed.
        let scratch = tempfile::tempdir().unwrap();
        let alive = scratch.path().join("alive");
        let outcome = run_fixture("daemon.sh", &[alive.to_str().unwrap()], PATIENCE);
        assert!(outcome.end.is_success(), "{}", outcome.end);
        assert_eq!(outcome.output, "started\n");
        assert!(alive.exists());
    }

    #[test]
    fn the_mode_matters() {
        assert!(matches!(
            run_fixture("plain.sh", &[], PATIENCE).end,
            End::NotExecutable
        ));
        assert!(matches!(
            run_fixture("absent.sh", &[], PATIENCE).end,
            End::NotStarted(_)
        ));
    }

    #[test]
    fn shebangs() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("x");
        for (text, options) in [
            ("#!/bin/sh\n", Some(vec![])),
            ("#! /bin/sh -e\nx", Some(vec!["-e".to_owned()])),
            ("#!/bin/ash", Some(vec![])),
            ("#!/usr/bin/python3\n", None),
            ("\x7fELF", None),
            ("", None),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(shell_options(&file), options, "{text:?}");
        }
    }
}
