//! The router's system log: a datagram socket as of syslog(3), written to a file as BusyBox syslogd writes it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smol::Timer;
use smol::net::unix::UnixDatagram;

use crate::root::Root;

/// Size at which `messages` becomes `messages.1` (BusyBox's default).
const MAX_FILE: u64 = 200 * 1024;

/// Longest message, RFC 3164 section 4.1; the rest is cut off.
const MAX_MESSAGE: usize = 1024;

/// `user.notice`, for lines without a priority (RFC 3164 section 4.3.3: 13).
const DEFAULT_PRIORITY: u32 = 13;

/// `daemon.info`, for what the simulator has to say.
const OWN_PRIORITY: u32 = 30;

const HOST: &str = "router";

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "security", "console", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

pub(crate) struct SystemLog {
    socket: UnixDatagram,
    directory: PathBuf,
}

impl SystemLog {
    pub(crate) fn open(root: &Root) -> io::Result<SystemLog> {
        let path = root.log_socket();
        // The root is ours alone, so a socket found here belongs to nobody any more.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        Ok(SystemLog {
            socket,
            directory: root.log_directory(),
        })
    }

    /// Takes messages from the socket for ever.
    pub(crate) async fn receive(log: Rc<SystemLog>) {
        // One byte more than is kept would do; senders must not fail for having more to say.
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match log.socket.recv(&mut buffer).await {
                Ok(length) => log.take(&buffer[..length.min(MAX_MESSAGE)]),
                Err(error) => {
                    eprintln!("simulator: system log: {error}");
                    Timer::after(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// What the firmware has to say: in the log, and on standard error for the person at the desk.
    pub(crate) fn note(&self, text: &str) {
        let line = format!("simulator[{}]: {text}", std::process::id());
        self.append(&entry(
            OWN_PRIORITY,
            &timestamp(SystemTime::now()),
            line.as_bytes(),
        ));
        eprintln!("simulator: {}", neutral(text.as_bytes()));
    }

    fn take(&self, datagram: &[u8]) {
        // BusyBox takes a NUL as the end of one message and the start of the next.
        for message in datagram
            .split(|byte| *byte == 0)
            .filter(|message| !message.is_empty())
        {
            let (priority, rest) = priority(message);
            let now = timestamp(SystemTime::now());
            let (time, text) = match sent_time(rest) {
                Some(sent) => (neutral(sent), &rest[sent.len() + 1..]),
                None => (now, rest),
            };
            self.append(&entry(priority, &time, text));
        }
    }

    /// Adds one line. What the disk refuses is lost, as on a router.
    fn append(&self, line: &str) {
        let file = self.directory.join("messages");
        if fs::metadata(&file).is_ok_and(|meta| meta.size() + line.len() as u64 > MAX_FILE) {
            let _ = fs::rename(&file, self.directory.join("messages.1"));
        }
        let _ = File::options()
            .append(true)
            .create(true)
            .open(&file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// A line of the file: `Nov 23 02:10:07 router user.err tag[pid]: text`.
fn entry(priority: u32, time: &str, text: &[u8]) -> String {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let facility = FACILITIES[(priority / 8) as usize];
    let severity = SEVERITIES[(priority % 8) as usize];
    format!("{time} {HOST} {facility}.{severity} {}\n", neutral(text))
}

/// Splits `<13>` off a message.
fn priority(message: &[u8]) -> (u32, &[u8]) {
    let parse = || {
        let rest = message.strip_prefix(b"<")?;
        let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
        let number: u32 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        ((number / 8) < FACILITIES.len() as u32).then_some((number, &rest[end + 1..]))
    };
    parse().unwrap_or((DEFAULT_PRIORITY, message))
}

/// The sender's own `Nov 23 02:10:07`, which BusyBox knows by the places of its separators.
fn sent_time(message: &[u8]) -> Option<&[u8]> {
    let separators = [(3, b' '), (6, b' '), (9, b':'), (12, b':'), (15, b' ')];
    let given = separators
        .iter()
        .all(|(at, byte)| message.get(*at) == Some(byte));
    given.then(|| &message[..15])
}

/// `Nov 23 02:10:07`, UTC.
fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (month, day) = month_and_day(seconds / 86_400);
    let second = seconds % 86_400;
    format!(
        "{} {day:2} {:02}:{:02}:{:02}",
        MONTHS[month],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Month (from 0) and day (from 1) of a day since 1970-01-01.
fn month_and_day(mut day: u64) -> (usize, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (month, day + 1)
}

/// No message can start a new line or steer a terminal: line feeds become blanks, control characters `^X` as in BusyBox.
fn neutral(text: &[u8]) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '\n' => plain.push(' '),
            '\t' => plain.push(c),
            '\0'..='\x1f' | '\x7f' => {
                plain.push('^');
                plain.push(char::from(c as u8 ^ 0x40));
            }
            c if c.is_control() || is_layout(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}

/// Characters that end a line or turn its direction in what shows the log.
fn is_layout(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_busybox() {
        let (number, text) = priority(b"<11>app[7]: oh");
        assert_eq!(
            entry(number, "Nov 23 02:10:07", text),
            "Nov 23 02:10:07 router user.err app[7]: oh\n"
        );
    }

    #[test]
    fn priorities() {
        assert_eq!(priority(b"<191>x"), (191, &b"x"[..]));
        for odd in [
            &b"<192>x"[..],
            b"<>x",
            b"<-1>x",
            b"<99999999999>x",
            b"<13",
            b"x",
            b"",
        ] {
            assert_eq!(priority(odd), (DEFAULT_PRIORITY, odd));
        }
    }

    #[test]
    fn the_sender_may_bring_the_time() {
        assert_eq!(
            sent_time(b"Nov  3 02:10:07 x"),
            Some(&b"Nov  3 02:10:07"[..])
        );
        assert_eq!(sent_time(b"Nov  3 02:10:07"), None);
        assert_eq!(sent_time(b"app[7]: no time"), None);
    }

    #[test]
    fn nothing_forges_a_line() {
        assert_eq!(
            neutral(b"a\nb\x1b[2J\r\x7f\tc\xff"),
            "a b^[[2J^M^?\tc\u{fffd}"
        );
        assert_eq!(
            neutral("\u{85}\u{202e}\u{2028}".as_bytes()),
            "\\u{85}\\u{202e}\\u{2028}"
        );
    }

    #[test]
    fn calendar() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "Jan  1 00:00:00");
        assert_eq!(at(951_782_400), "Feb 29 00:00:00");
        assert_eq!(at(1_763_863_807), "Nov 23 02:10:07");
        assert_eq!(at(1_735_689_599), "Dec 31 23:59:59");
    }

    #[test]
    fn the_file_is_rotated() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Root::lay_out(scratch.path()).unwrap();
        let log = SystemLog::open(&root).unwrap();
        let long = vec![b'x'; MAX_MESSAGE];
        for _ in 0..MAX_FILE / MAX_MESSAGE as u64 + 1 {
            log.take(&long);
        }
        let size = |name: &str| {
            fs::metadata(scratch.path().join("var/log").join(name))
                .unwrap()
                .len()
        };
        assert!(size("messages.1") <= MAX_FILE && size("messages.1") > MAX_FILE / 2);
        assert!(size("messages") > 0 && size("messages") < MAX_FILE / 2);
    }
}
