//! The broker's opinion of settings: `mqtt_broker --check - --json`.
//!
//! Certificates and keys are judged by the broker alone, so there is one truth and this program
//! carries no cryptography. The candidate goes over standard input: no file holds it before it is
//! applied, and no argument or variable shows its secrets to other processes.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use settings::{Problem, Settings, Values};

/// How long the check may take on the slowest router, with a long certificate chain.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The most that is read of an answer.
const MAX_ANSWER: u64 = 1024 * 1024;

/// What the broker found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

/// Why there is no verdict.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// The program is missing or cannot be started.
    Start(io::Error),
    /// It was started, but its answer could not be read.
    Talk(io::Error),
    /// It took too long.
    Timeout,
    /// It ended in another way than a check ends.
    Ended(std::process::ExitStatus),
    /// What it printed is not a verdict.
    Answer,
}

/// All that is to be said of `values`: by the table, and by `broker`, which knows certificates too. Without its opinion
/// there is the reason why, and the table's alone.
pub(crate) fn judge(broker: &Path, values: &Values) -> (Verdict, Option<CheckError>) {
    let own = Settings::from_values(values).err().unwrap_or_default();
    let (mut verdict, unasked) = match ask(broker, values.to_file()) {
        Ok(verdict) => (verdict, None),
        Err(error) => (Verdict::default(), Some(error)),
    };
    for error in own {
        if !verdict.errors.contains(&error) {
            verdict.errors.push(error);
        }
    }
    Problem::sort(&mut verdict.errors);
    (verdict, unasked)
}

/// Lets `broker` judge the settings file `candidate`.
pub(crate) fn ask(broker: &Path, candidate: Vec<u8>) -> Result<Verdict, CheckError> {
    ask_within(broker, candidate, TIMEOUT)
}

fn ask_within(broker: &Path, candidate: Vec<u8>, timeout: Duration) -> Result<Verdict, CheckError> {
    let mut child = program(broker)
        .args(["--check", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(CheckError::Start)?;
    let answer = converse(&mut child, candidate, timeout);
    if answer.is_err() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(CheckError::Talk)?;
    let answer = answer?;
    let verdict = parse(&answer).ok_or(CheckError::Answer);
    match (status.code(), verdict) {
        (Some(0), Ok(verdict)) if verdict.errors.is_empty() => Ok(verdict),
        (Some(1), Ok(verdict)) if !verdict.errors.is_empty() => Ok(verdict),
        (Some(0 | 1), _) => Err(CheckError::Answer),
        _ => Err(CheckError::Ended(status)),
    }
}

/// A program of the module, without the request's variables: what a browser sent is no business of
/// a program that runs as root.
pub(crate) fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear();
    for name in ["PATH", "TZ"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Hands the candidate over and takes the answer, each in a thread of its own, so that neither side
/// can make this program wait past its time.
fn converse(
    child: &mut Child,
    candidate: Vec<u8>,
    timeout: Duration,
) -> Result<Vec<u8>, CheckError> {
    let deadline = Instant::now() + timeout;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(CheckError::Talk(io::ErrorKind::BrokenPipe.into()));
    };
    thread::spawn(move || {
        // A broker that does not read to the end tells why in its answer.
        let _ = stdin.write_all(&candidate);
    });
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut answer = Vec::new();
        let result = stdout
            .take(MAX_ANSWER)
            .read_to_end(&mut answer)
            .map(|_| answer);
        // Nobody listens any more after the time-out.
        let _ = sender.send(result);
    });
    let left = deadline.saturating_duration_since(Instant::now());
    receiver
        .recv_timeout(left)
        .map_err(|_| CheckError::Timeout)?
        .map_err(CheckError::Talk)
}

#[derive(Deserialize)]
struct Answer {
    errors: Vec<Finding>,
    #[serde(default)]
    warnings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    #[serde(default)]
    key: Option<String>,
    message: String,
}

fn parse(answer: &[u8]) -> Option<Verdict> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let problems = |findings: Vec<Finding>| findings.into_iter().map(problem).collect();
    Some(Verdict {
        errors: problems(answer.errors),
        warnings: problems(answer.warnings),
    })
}

fn problem(finding: Finding) -> Problem {
    let key = finding
        .key
        .as_deref()
        .and_then(settings::field)
        .map(|field| field.key);
    Problem {
        key,
        message: finding.message,
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Start(error) => {
                write!(f, "the broker's program cannot be started: {error}")
            }
            CheckError::Talk(error) => write!(f, "the broker's program cannot be asked: {error}"),
            CheckError::Timeout => write!(f, "the broker's program did not answer in time"),
            CheckError::Ended(status) => write!(f, "the broker's program failed ({status})"),
            CheckError::Answer => write!(
                f,
                "the broker's program gave an answer that is not understood"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// Asks a script in the broker's place.
    fn asked(script: &str, candidate: &[u8]) -> Result<Verdict, CheckError> {
        let scratch = Scratch::new();
        scratch.script("broker", script);
        ask(&scratch.path("broker"), candidate.to_vec())
    }

    #[test]
    fn valid_settings_may_have_warnings() {
        let verdict = asked(
            r#"echo '{"errors":[],"warnings":[{"key":"CERTIFICATE","label":"Broker Certificate","message":"has run out"}]}'"#,
            b"",
        )
        .unwrap();
        assert!(verdict.errors.is_empty());
        assert_eq!(verdict.warnings[0].key, Some("CERTIFICATE"));
    }

    #[test]
    fn errors_name_their_field_or_none() {
        let verdict = asked(
            r#"echo '{"errors":[{"key":"PORT","label":"Port","message":"a"},{"key":null,"label":null,"message":"b"},
            {"key":"NEWER","label":"Newer","message":"c"}],"warnings":[]}'; exit 1"#,
            b"",
        )
        .unwrap();
        let found: Vec<_> = verdict
            .errors
            .iter()
            .map(|error| (error.key, error.message.as_str()))
            .collect();
        assert_eq!(found, [(Some("PORT"), "a"), (None, "b"), (None, "c")]);
    }

    #[test]
    fn the_candidate_arrives_on_standard_input() {
        let script = r#"[ "$*" = "--check - --json" ] && [ "$(cat)" = "candidate" ] && echo '{"errors":[],"warnings":[]}'"#;
        assert!(asked(script, b"candidate").is_ok());
    }

    #[test]
    fn the_request_is_not_passed_on() {
        // A test process has no request, but it has cargo's variables, which must not arrive
        // either.
        assert!(
            asked(
                r#"[ -z "$CARGO_MANIFEST_DIR" ] && echo '{"errors":[]}'"#,
                b""
            )
            .is_ok()
        );
    }

    #[test]
    fn a_large_candidate_that_nobody_reads_is_no_deadlock() {
        assert!(asked(r#"echo '{"errors":[]}'"#, &vec![b'x'; 1 << 20]).is_ok());
    }

    #[test]
    fn a_missing_program_is_an_error() {
        assert!(matches!(
            ask(Path::new("/nonexistent/mqtt_broker"), Vec::new()),
            Err(CheckError::Start(_))
        ));
    }

    #[test]
    fn a_failing_program_is_an_error() {
        assert!(matches!(asked("exit 2", b""), Err(CheckError::Ended(_))));
        assert!(matches!(
            asked("kill -9 $$", b""),
            Err(CheckError::Ended(_))
        ));
        assert!(matches!(asked("exit 127", b""), Err(CheckError::Ended(_))));
    }

    #[test]
    fn an_answer_that_contradicts_the_exit_status_is_an_error() {
        assert!(matches!(
            asked(r#"echo '{"errors":[]}'; exit 1"#, b""),
            Err(CheckError::Answer)
        ));
        assert!(matches!(
            asked(r#"echo '{"errors":[{"key":"PORT","message":"a"}]}'"#, b""),
            Err(CheckError::Answer)
        ));
    }

    #[test]
    fn anything_but_a_verdict_is_an_error() {
        for answer in [
            "",
            "valid",
            "{}",
            "[]",
            r#"{"errors":null}"#,
            r#"{"errors":[{"key":"PORT"}]}"#,
        ] {
            assert!(
                matches!(
                    asked(&format!("echo '{answer}'"), b""),
                    Err(CheckError::Answer)
                ),
                "{answer}"
            );
        }
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let scratch = Scratch::new();
        scratch.script("broker", "exec sleep 60");
        let began = Instant::now();
        let result = ask_within(
            &scratch.path("broker"),
            Vec::new(),
            Duration::from_millis(100),
        );
        assert!(matches!(result, Err(CheckError::Timeout)));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
