//! The log: one line of plain text per event, to the system log or to standard error.

use std::io::{self, LineWriter, Stderr};
use std::os::unix::net::UnixDatagram;
use std::panic::{self, PanicHookInfo};
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use settings::LogLevel;
use simplelog::{Config, ConfigBuilder, SharedLogger, WriteLogger};

use crate::log_line::{self, line};
use crate::root::Root;

/// The target of lines that are logged at any level.
pub(crate) const ALWAYS: &str = "always";

/// Logs a line at any level: what a person must find in the log, such as start and stop.
macro_rules! always {
    ($($text:tt)+) => {
        log::logger().log(
            &log::Record::builder()
                .args(format_args!($($text)+))
                .level(log::Level::Info)
                .target($crate::syslog::ALWAYS)
                .build(),
        )
    };
}
pub(crate) use always;

/// Repeats of a line are counted at least so often, should they go on.
const REPEATS_COUNTED: Duration = Duration::from_secs(600);

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard error, with the time (UTC).
    StandardError,
    /// The system log.
    Syslog,
}

/// Starts logging, once per process. Warnings and errors pass until [`set_level`] says otherwise.
pub(crate) fn start(destination: Destination, root: &Root) {
    let logger: Box<dyn SharedLogger> = match destination {
        Destination::StandardError => Box::new(Foreground::new()),
        Destination::Syslog => Box::new(Syslog::new(root.log_socket())),
    };
    // An error would mean that a logger is there already, which then serves as well.
    let _ = log::set_boxed_logger(logger.as_log());
    log::set_max_level(LevelFilter::Warn);
    panic::set_hook(Box::new(log_panic));
}

/// Sets how much is logged from now on.
pub(crate) fn set_level(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
    });
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let text = info.to_string().replace('\n', " ");
    log::error!("internal error, please report it: {text}");
    log::logger().flush();
}

/// What a mutex guards, even after a panic: half a line lost is better than no log.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines on standard error.
struct Foreground(Box<WriteLogger<LineWriter<Stderr>>>);

impl Foreground {
    fn new() -> Foreground {
        let config = ConfigBuilder::new()
            .set_time_format_rfc3339()
            .set_thread_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .build();
        // Two processes may write here: a line must leave in one piece.
        let output = LineWriter::with_capacity(2 * log_line::LONGEST, io::stderr());
        Foreground(WriteLogger::new(LevelFilter::Trace, config, output))
    }
}

impl Log for Foreground {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let text = line(record.args());
        self.0.log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .args(format_args!("{text}"))
                .build(),
        );
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl SharedLogger for Foreground {
    fn level(&self) -> LevelFilter {
        self.0.level()
    }

    fn config(&self) -> Option<&Config> {
        self.0.config()
    }

    fn as_log(self: Box<Self>) -> Box<dyn Log> {
        self
    }
}

/// Severity of a line together with the facility *daemon* (RFC 3164 section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Priority {
    Error = 3 * 8 + 3,
    Warning = 3 * 8 + 4,
    Notice = 3 * 8 + 5,
    Info = 3 * 8 + 6,
    Debug = 3 * 8 + 7,
}

impl Priority {
    fn of(record: &Record<'_>) -> Priority {
        match record.level() {
            _ if record.target() == ALWAYS => Priority::Notice,
            Level::Error => Priority::Error,
            Level::Warn => Priority::Warning,
            Level::Info => Priority::Info,
            Level::Debug | Level::Trace => Priority::Debug,
        }
    }
}

/// Lines to the system log, each a datagram of its own. It never waits: a line that cannot be
/// sent is dropped, and the next one that can tells how many were.
struct Syslog(Mutex<Sender>);

struct Sender {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    last: Option<Last>,
    dropped: u64,
}

/// The line sent last, of which repeats are counted instead of sent.
struct Last {
    priority: Priority,
    text: String,
    repeats: u64,
    counted: Instant,
}

impl Syslog {
    fn new(path: PathBuf) -> Syslog {
        let mut sender = Sender {
            path,
            socket: None,
            last: None,
            dropped: 0,
        };
        // Open it now: later there may be no descriptor left, and that is worth a line.
        sender.open();
        Syslog(Mutex::new(sender))
    }
}

impl Log for Syslog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Made before the lock is taken, since making it runs other code.
        let text = line(record.args());
        lock(&self.0).log(Priority::of(record), text, Instant::now());
    }

    fn flush(&self) {
        lock(&self.0).count_repeats(Instant::now());
    }
}

impl SharedLogger for Syslog {
    fn level(&self) -> LevelFilter {
        LevelFilter::Trace
    }

    fn config(&self) -> Option<&Config> {
        None
    }

    fn as_log(self: Box<Self>) -> Box<dyn Log> {
        self
    }
}

impl Sender {
    fn log(&mut self, priority: Priority, text: String, now: Instant) {
        if let Some(last) = &mut self.last
            && last.priority == priority
            && last.text == text
            && priority != Priority::Notice
        {
            last.repeats += 1;
            if now.duration_since(last.counted) >= REPEATS_COUNTED {
                self.count_repeats(now);
            }
            return;
        }
        self.count_repeats(now);
        let sent = self.deliver(priority, &text);
        self.last = sent.then_some(Last {
            priority,
            text,
            repeats: 0,
            counted: now,
        });
    }

    /// Tells how often the last line was repeated.
    fn count_repeats(&mut self, now: Instant) {
        let Some(last) = &mut self.last else { return };
        last.counted = now;
        let (priority, repeats) = (last.priority, std::mem::take(&mut last.repeats));
        if repeats > 0 {
            let times = if repeats == 1 { "time" } else { "times" };
            self.deliver(
                priority,
                &format!("last message repeated {repeats} {times}"),
            );
        }
    }

    /// Sends a line, after the word that others before it were lost.
    fn deliver(&mut self, priority: Priority, text: &str) -> bool {
        if self.dropped > 0 {
            let word = format!("{} lines could not be logged", self.dropped);
            if !self.send(Priority::Warning, &word) {
                self.dropped += 1;
                return false;
            }
            self.dropped = 0;
        }
        let sent = self.send(priority, text);
        if !sent {
            self.dropped += 1;
        }
        sent
    }

    fn send(&mut self, priority: Priority, text: &str) -> bool {
        let datagram = format!("<{}>mqtt_broker[{}]: {text}", priority as u8, process::id());
        self.open();
        // By path each time: it needs no care when the system's logger starts late or again.
        match &self.socket {
            Some(socket) => socket.send_to(datagram.as_bytes(), &self.path).is_ok(),
            None => false,
        }
    }

    fn open(&mut self) {
        if self.socket.is_none() {
            self.socket = UnixDatagram::unbound()
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system log in a directory of its own, and a sender to it.
    struct Desk {
        directory: tempfile::TempDir,
        receiver: Option<UnixDatagram>,
        sender: Sender,
        now: Instant,
    }

    impl Desk {
        fn new() -> Desk {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("log");
            let sender = Sender {
                path,
                socket: None,
                last: None,
                dropped: 0,
            };
            let mut desk = Desk {
                directory,
                receiver: None,
                sender,
                now: Instant::now(),
            };
            desk.receive();
            desk
        }

        /// The system's logger starts, perhaps not for the first time.
        fn receive(&mut self) {
            self.end();
            let receiver = UnixDatagram::bind(self.directory.path().join("log")).unwrap();
            receiver.set_nonblocking(true).unwrap();
            self.receiver = Some(receiver);
        }

        fn end(&mut self) {
            self.receiver = None;
            let _ = std::fs::remove_file(self.directory.path().join("log"));
        }

        fn log(&mut self, priority: Priority, text: &str) {
            self.sender.log(priority, text.to_owned(), self.now);
        }

        /// What has arrived, without the tag.
        fn lines(&self) -> Vec<String> {
            let receiver = self.receiver.as_ref().unwrap();
            let mut buffer = [0; 2048];
            let tag = format!("mqtt_broker[{}]: ", process::id());
            std::iter::from_fn(|| {
                let length = receiver.recv(&mut buffer).ok()?;
                let line = String::from_utf8(buffer[..length].to_vec()).unwrap();
                assert!(line.contains(&tag), "{line}");
                Some(line.replace(&tag, ""))
            })
            .collect()
        }
    }

    #[test]
    fn severities() {
        let mut desk = Desk::new();
        let all = [
            Priority::Error,
            Priority::Warning,
            Priority::Notice,
            Priority::Info,
            Priority::Debug,
        ];
        for priority in all {
            desk.log(priority, "text");
        }
        assert_eq!(
            desk.lines(),
            ["<27>text", "<28>text", "<29>text", "<30>text", "<31>text"]
        );
    }

    #[test]
    fn severity_of_a_record() {
        let priority =
            |level, target| Priority::of(&Record::builder().level(level).target(target).build());
        assert_eq!(priority(Level::Info, ALWAYS), Priority::Notice);
        assert_eq!(priority(Level::Error, "x"), Priority::Error);
        assert_eq!(priority(Level::Warn, "x"), Priority::Warning);
        assert_eq!(priority(Level::Info, "x"), Priority::Info);
        assert_eq!(priority(Level::Debug, "x"), Priority::Debug);
    }

    #[test]
    fn repeats_are_counted() {
        let mut desk = Desk::new();
        for _ in 0..4 {
            desk.log(Priority::Warning, "again");
        }
        assert_eq!(desk.lines(), ["<28>again"]);
        desk.log(Priority::Warning, "new");
        assert_eq!(
            desk.lines(),
            ["<28>last message repeated 3 times", "<28>new"]
        );
        desk.log(Priority::Warning, "new");
        desk.sender.count_repeats(desk.now);
        desk.sender.count_repeats(desk.now);
        assert_eq!(desk.lines(), ["<28>last message repeated 1 time"]);
    }

    #[test]
    fn repeats_that_go_on_are_counted_now_and_then() {
        let mut desk = Desk::new();
        for _ in 0..21 {
            desk.log(Priority::Error, "still");
            desk.now += Duration::from_secs(60);
        }
        let counted = "<27>last message repeated 10 times";
        assert_eq!(desk.lines(), ["<27>still", counted, counted]);
    }

    #[test]
    fn start_and_stop_are_never_counted_only() {
        let mut desk = Desk::new();
        desk.log(Priority::Notice, "started");
        desk.log(Priority::Notice, "started");
        assert_eq!(desk.lines(), ["<29>started", "<29>started"]);
    }

    #[test]
    fn a_logger_that_comes_late_or_again() {
        let mut desk = Desk::new();
        desk.end();
        desk.log(Priority::Error, "early");
        desk.log(Priority::Error, "early");
        desk.receive();
        desk.log(Priority::Error, "first");
        assert_eq!(
            desk.lines(),
            ["<28>2 lines could not be logged", "<27>first"]
        );
        desk.receive();
        desk.log(Priority::Error, "second");
        assert_eq!(desk.lines(), ["<27>second"]);
    }

    #[test]
    fn a_logger_that_does_not_read_is_not_waited_for() {
        let mut desk = Desk::new();
        for number in 0..5000 {
            desk.log(Priority::Debug, &number.to_string());
        }
        let arrived = desk.lines().len() as u64;
        assert_eq!(arrived + desk.sender.dropped, 5000);
        assert!(desk.sender.dropped > 0);
    }
}
