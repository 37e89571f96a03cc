//! What the broker says about itself: one JSON object from a socket, which is then closed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

/// How long the broker may take to answer; it serves its clients first.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The most that is read of an answer.
const MAX_ANSWER: u64 = 256 * 1024;

/// The longest path that fits a socket address with its NUL, `sun_path` in unix(7).
const MAX_SOCKET_PATH: usize = 107;

/// The broker's own account. Every part may be missing, and there may be others: the broker that
/// answers may be older or newer than this program.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Snapshot {
    pub(crate) version: Option<String>,
    pub(crate) pid: Option<u64>,
    /// Seconds since the broker began.
    pub(crate) uptime: Option<u64>,
    pub(crate) listening: Option<bool>,
    pub(crate) listen_error: Option<String>,
    pub(crate) port: Option<u64>,
    pub(crate) tls: Option<String>,
    pub(crate) authentication: Option<String>,
    pub(crate) clients: Option<u64>,
    pub(crate) max_clients: Option<u64>,
    pub(crate) sessions: Option<u64>,
    pub(crate) subscriptions: Option<u64>,
    pub(crate) retained: Option<u64>,
    pub(crate) messages_received: Option<u64>,
    pub(crate) messages_sent: Option<u64>,
    pub(crate) bytes_received: Option<u64>,
    pub(crate) bytes_sent: Option<u64>,
    pub(crate) dropped: Option<u64>,
    pub(crate) refusals: Vec<Refused>,
    pub(crate) warnings: Vec<String>,
}

/// A connection that the broker did not accept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Refused {
    pub(crate) seconds_ago: u64,
    pub(crate) address: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// Asks the broker. The error is a clause that ends "the broker does not answer: ".
pub(crate) fn ask(socket: &Path) -> io::Result<Snapshot> {
    let (sender, receiver) = mpsc::channel();
    let socket = socket.to_owned();
    // Connecting can wait as well as reading, when the broker is stuck with a full backlog, and
    // has no time-out of its own.
    thread::spawn(move || {
        // Nobody listens any more after the time-out.
        let _ = sender.send(read(&socket));
    });
    let answer = receiver
        .recv_timeout(TIMEOUT)
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    serde_json::from_slice(&answer).map_err(io::Error::from)
}

fn read(socket: &Path) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    connect(socket)?.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Connects, also where the path is too long for a socket address, by way of the directory's
/// descriptor.
fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if socket.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
        return UnixStream::connect(socket);
    }
    let directory = File::open(directory)?;
    UnixStream::connect(
        PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name),
    )
}

/// The process in the pid file, if it lives and is the broker. The number alone proves nothing:
/// after a crash it may belong to anybody.
pub(crate) fn process(pid_file: &Path) -> Option<u32> {
    let pid: u32 = fs::read_to_string(pid_file).ok()?.trim_end().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = command.split(|byte| *byte == 0);
    // Under an emulator or a script's interpreter the broker's name is not the first.
    arguments
        .by_ref()
        .take(3)
        .any(|argument| argument.rsplit(|byte| *byte == b'/').next() == Some(b"mqtt_broker"))
        .then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    fn answered(answer: &'static [u8]) -> io::Result<Snapshot> {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let broker = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let _ = stream.write_all(answer);
        });
        let snapshot = ask(&socket);
        broker.join().expect("the broker's thread");
        snapshot
    }

    #[test]
    fn the_account_is_read() {
        let snapshot = answered(
            br#"{"version":"1.0.0","pid":1234,"uptime":86400,"listening":true,"listen_error":null,"port":1883,
            "tls":"none","authentication":"none","clients":3,"max_clients":256,"sessions":4,"subscriptions":5,
            "retained":6,"messages_received":7,"messages_sent":8,"bytes_received":9,"bytes_sent":10,"dropped":0,
            "refusals":[{"seconds_ago":12,"address":"192.168.1.7","reason":"wrong user name or password","count":1}],
            "warnings":["the certificate has run out"]}"#,
        )
        .unwrap();
        assert_eq!(snapshot.version.as_deref(), Some("1.0.0"));
        assert_eq!(snapshot.listening, Some(true));
        assert_eq!(snapshot.listen_error, None);
        assert_eq!(snapshot.clients, Some(3));
        assert_eq!(snapshot.refusals.len(), 1);
        assert_eq!(snapshot.refusals[0].address, "192.168.1.7");
        assert_eq!(snapshot.warnings, ["the certificate has run out"]);
    }

    #[test]
    fn missing_and_further_keys_are_tolerated() {
        assert_eq!(answered(b"{}").unwrap(), Snapshot::default());
        assert_eq!(
            answered(br#"{"bridges":[1,2],"port":1}"#).unwrap().port,
            Some(1)
        );
        assert_eq!(
            answered(br#"{"refusals":[{}]}"#).unwrap().refusals,
            [Refused::default()]
        );
    }

    #[test]
    fn anything_else_is_an_error() {
        for answer in [
            &b""[..],
            b"{",
            b"[]x",
            b"null{}",
            b"\xFF\xFE",
            br#"{"port":"x"}"#,
        ] {
            assert!(answered(answer).is_err());
        }
    }

    #[test]
    fn nobody_there_is_an_error() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        assert!(ask(&directory.path().join("socket")).is_err());
    }

    #[test]
    fn a_silent_broker_is_not_waited_for() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        assert_eq!(
            ask(&socket).expect_err("a time-out").kind(),
            io::ErrorKind::TimedOut
        );
    }

    #[test]
    fn a_long_path_is_no_obstacle() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let deep = directory.path().join("d".repeat(120));
        fs::create_dir(&deep).expect("a directory");
        let handle = File::open(&deep).expect("its descriptor");
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/socket", handle.as_raw_fd()))
            .expect("a socket");
        let broker = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            stream.write_all(b"{}").expect("an answer");
        });
        assert_eq!(
            ask(&deep.join("socket")).expect("an answer"),
            Snapshot::default()
        );
        broker.join().expect("the broker's thread");
    }

    #[test]
    fn a_pid_file_must_name_a_living_broker() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let file = directory.path().join("pid");
        assert_eq!(process(&file), None);
        let own = std::process::id().to_string();
        for content in ["", "x", "-1", "0", "999999999999", &own] {
            fs::write(&file, content).expect("a pid file");
            assert_eq!(process(&file), None, "{content}");
        }
    }
}
