//! The supervisor and its worker as real processes, below a root of their own.
#![forbid(unsafe_code)]
// What the tests share is theirs, though it lies outside of them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const BROKER: &str = env!("CARGO_BIN_EXE_mqtt_broker");

/// Far longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until there is an answer.
fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process's line of `/proc/PID/stat`: state and parent, if it lives.
fn state(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn lives(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn status_line(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {key}")).to_owned()
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The root of a router: its log and a settings file.
struct Router {
    root: tempfile::TempDir,
    log: UnixDatagram,
}

impl Router {
    fn new() -> Router {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("dev")).unwrap();
        let log = UnixDatagram::bind(root.path().join("dev/log")).unwrap();
        let router = Router { root, log };
        router.enable(true);
        router
    }

    fn settings(&self) -> PathBuf {
        self.root.path().join("settings")
    }

    fn pid_file(&self) -> PathBuf {
        self.root.path().join("var/run/mqtt_broker.pid")
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.pid_file())
            .ok()?
            .strip_suffix('\n')?
            .parse()
            .ok()
    }

    fn enable(&self, enabled: bool) {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        self.write_settings(&format!(
            "MOD_MQTT_BROKER_ENABLED='{}'\nMOD_MQTT_BROKER_PORT='{port}'\nMOD_MQTT_BROKER_BIND='127.0.0.1'\n",
            u8::from(enabled)
        ));
    }

    fn write_settings(&self, text: &str) {
        fs::write(self.settings(), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BROKER);
        command
            .arg("--root")
            .arg(self.root.path())
            .args(["--supervise", "--syslog"]);
        command
            .arg(self.settings())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn supervise(&self) -> Daemon<'_> {
        self.daemon(&mut self.command())
    }

    fn daemon(&self, command: &mut Command) -> Daemon<'_> {
        Daemon {
            router: self,
            supervisor: command.spawn().unwrap(),
        }
    }

    /// The next line of the log that has `part`.
    fn log_line(&self, part: &str) -> String {
        self.log.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut buffer = [0; 4096];
        let mut seen = String::new();
        loop {
            let length = self
                .log
                .recv(&mut buffer)
                .unwrap_or_else(|_| panic!("no {part} in\n{seen}"));
            let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if line.contains(part) {
                return line;
            }
            seen = seen + &line + "\n";
        }
    }
}

/// A supervisor, killed at the end of the test, which takes its worker along.
struct Daemon<'a> {
    router: &'a Router,
    supervisor: Child,
}

impl Daemon<'_> {
    fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    fn worker(&self) -> Option<u32> {
        let processes = fs::read_dir("/proc").unwrap();
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .find(|&pid| matches!(state(pid), Some((state, parent)) if parent == self.pid() && state != "Z"))
    }

    /// A worker that has come to log something.
    fn ready_worker(&self) -> u32 {
        loop {
            let worker = wait_for("there is a worker", || self.worker());
            // Between fork and exec it is not yet a worker; it logs when it is.
            let line = self.router.log_line("mqtt_broker[");
            if line.contains(&format!("mqtt_broker[{worker}]")) {
                return worker;
            }
        }
    }

    fn ended(&mut self) -> ExitStatus {
        wait_for("the supervisor has ended", || {
            self.supervisor.try_wait().unwrap()
        })
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

#[test]
fn starts_and_ends() {
    let router = Router::new();
    let mut daemon = router.supervise();
    let worker = daemon.ready_worker();
    assert_eq!(router.pid(), Some(daemon.pid()));
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
    assert!(!lives(worker));
    assert!(!router.pid_file().exists());
}

#[test]
fn ends_on_sigint_too() {
    let router = Router::new();
    let mut daemon = router.supervise();
    daemon.ready_worker();
    send(daemon.pid(), Signal::INT);
    assert!(daemon.ended().success());
}

#[test]
fn there_is_only_one() {
    let router = Router::new();
    let first = router.supervise();
    let worker = first.ready_worker();
    let mut second = router.supervise();
    assert_eq!(second.ended().code(), Some(3));
    router.log_line(&format!(
        "not started: mqtt_broker is running already as process {}",
        first.pid()
    ));
    assert_eq!(router.pid(), Some(first.pid()));
    assert!(lives(worker));
}

#[test]
fn a_crashed_worker_is_replaced() {
    let router = Router::new();
    let mut daemon = router.supervise();
    let first = daemon.ready_worker();
    send(first, Signal::KILL);
    let line = router.log_line("crashed");
    assert!(
        line.starts_with(&format!("<27>mqtt_broker[{}]: ", daemon.pid())),
        "{line}"
    );
    assert!(
        line.contains("signal 9 (SIGKILL, ") && line.ends_with("again in 1 s"),
        "{line}"
    );
    let second = daemon.ready_worker();
    assert_ne!(first, second);
    assert_eq!(router.pid(), Some(daemon.pid()));
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
    assert!(!lives(second));
}

#[test]
fn backoff_grows_and_ends_with_a_signal() {
    let router = Router::new();
    let mut daemon = router.supervise();
    for wait in ["1 s", "2 s"] {
        send(daemon.ready_worker(), Signal::KILL);
        assert!(
            router
                .log_line("crashed")
                .ends_with(&format!("again in {wait}"))
        );
    }
    send(daemon.ready_worker(), Signal::KILL);
    assert!(router.log_line("crashed").ends_with("again in 4 s"));
    let crashed = Instant::now();
    send(daemon.pid(), Signal::HUP);
    let worker = daemon.ready_worker();
    assert!(crashed.elapsed() < Duration::from_secs(4));
    send(worker, Signal::KILL);
    assert!(router.log_line("crashed").ends_with("again in 1 s"));
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
    router.log_line(&format!("<29>mqtt_broker[{}]: stopped", daemon.pid()));
    assert!(!router.pid_file().exists());
}

#[test]
fn no_orphan_is_left() {
    let router = Router::new();
    let mut daemon = router.supervise();
    let worker = daemon.ready_worker();
    send(daemon.pid(), Signal::KILL);
    daemon.ended();
    wait_for("the worker has ended", || (!lives(worker)).then_some(()));
    // The file left over means nothing.
    assert_eq!(router.pid(), Some(daemon.pid()));
    let next = router.supervise();
    next.ready_worker();
    assert_eq!(router.pid(), Some(next.pid()));
}

#[test]
fn a_worker_without_its_supervisor_ends() {
    let router = Router::new();
    let mut command = Command::new(BROKER);
    command
        .arg("--root")
        .arg(router.root.path())
        .args(["--worker", "1"])
        .arg(router.settings());
    assert_eq!(router.daemon(&mut command).ended().code(), Some(1));
}

#[test]
fn sighup_is_passed_on() {
    let router = Router::new();
    let mut daemon = router.supervise();
    let worker = daemon.ready_worker();
    router.enable(false);
    send(daemon.pid(), Signal::HUP);
    assert!(daemon.ended().success());
    assert!(!lives(worker));
    assert!(!router.pid_file().exists());
}

#[test]
fn sighup_at_any_time_does_no_harm() {
    let router = Router::new();
    let mut daemon = router.supervise();
    wait_for("there is a pid file", || router.pid());
    // Before, while and after the worker gets ready for it.
    for _ in 0..20 {
        send(daemon.pid(), Signal::HUP);
        wait_for("there is a worker", || daemon.worker());
    }
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
    router.log.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = router.log.recv(&mut buffer) {
        let line = String::from_utf8_lossy(&buffer[..length]);
        assert!(!line.contains("crashed"), "{line}");
    }
}

#[test]
fn unusable_settings_are_waited_out() {
    let router = Router::new();
    router.write_settings("MOD_MQTT_BROKER_ENABLED='1'\nMOD_MQTT_BROKER_PORT='x'\n");
    let mut daemon = router.supervise();
    router.log_line("Port");
    router.log_line("settings cannot be used");
    wait_for("the worker has ended", || {
        daemon.worker().is_none().then_some(())
    });
    router.enable(true);
    send(daemon.pid(), Signal::HUP);
    daemon.ready_worker();
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
}

#[test]
fn a_disabled_broker_does_not_start() {
    let router = Router::new();
    router.enable(false);
    let mut daemon = router.supervise();
    assert!(daemon.ended().success());
    assert!(!router.pid_file().exists());
}

#[test]
fn a_worker_that_hangs_is_killed() {
    let router = Router::new();
    let mut daemon = router.supervise();
    let worker = daemon.ready_worker();
    send(worker, Signal::STOP);
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
    router.log_line("did not end within 5 s");
    assert!(!lives(worker));
}

#[test]
fn everything_works_without_standard_streams() {
    let router = Router::new();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh", BROKER])
        .args(router.command().get_args());
    let mut daemon = router.daemon(&mut shell);
    let first = daemon.ready_worker();
    send(first, Signal::KILL);
    router.log_line("crashed");
    let second = daemon.ready_worker();
    assert_ne!(first, second);
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
}

#[test]
fn the_worker_inherits_nothing_odd() {
    let router = Router::new();
    let daemon = router.supervise();
    let worker = daemon.ready_worker();
    for pid in [daemon.pid(), worker] {
        assert_eq!(status_line(pid, "Umask"), "0077");
        // They are blocked for the moment in which a process or thread is made.
        let blocked = || status_line(pid, "SigBlk") != "0000000000000000";
        wait_for("no signal is blocked", || (!blocked()).then_some(()));
        assert_eq!(
            fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
            PathBuf::from("/")
        );
    }
    // SIGHUP, SIGINT and SIGTERM, bits 0, 1 and 14, even if the shell ignores one.
    let caught = u64::from_str_radix(&status_line(worker, "SigCgt"), 16).unwrap();
    assert_eq!(caught & 0x4003, 0x4003);
    for entry in fs::read_dir(format!("/proc/{worker}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap_or_default();
        assert_ne!(target, router.pid_file());
    }
}

#[test]
fn no_system_log_is_no_reason_to_fail() {
    let router = Router::new();
    fs::remove_file(router.root.path().join("dev/log")).unwrap();
    let mut daemon = router.supervise();
    let worker = wait_for("there is a worker", || daemon.worker());
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
    assert!(!lives(worker));
}

#[test]
fn the_foreground_logs_to_standard_error() {
    let router = Router::new();
    let mut command = Command::new(BROKER);
    command
        .arg("--root")
        .arg(router.root.path())
        .arg(router.settings())
        .stderr(Stdio::piped());
    let mut daemon = router.daemon(&mut command);
    let mut output = BufReader::new(daemon.supervisor.stderr.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    // 2026-01-31T12:00:00.123456789Z [INFO] text
    let (time, text) = line.split_once(' ').unwrap();
    assert!(time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{line}");
    assert!(text.starts_with('['), "{line}");
    assert!(!router.pid_file().exists());
    send(daemon.pid(), Signal::TERM);
    assert!(daemon.ended().success());
}
