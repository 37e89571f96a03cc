//! The process of the pid file: starts the worker, starts it again when it crashes, passes
//! SIGHUP on and ends it on SIGTERM.
//!
//! It reads no settings and touches no client, so nothing that can go wrong there reaches it.
//! Between signals it sleeps.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, process};

use async_signal::{Signal, Signals};
use rustix::process as system;
use smol::Timer;
use smol::future;
use smol::stream::StreamExt;

use crate::allocator;
use crate::pid_file::{NotTaken, PidFile};
use crate::root::Root;
use crate::syslog::always;

/// Exit code of the program when another one holds the pid file.
pub(crate) const RUNNING_ALREADY: u8 = 3;

/// Exit code of a worker that cannot do anything with its settings. It is not started again
/// until SIGHUP says that there are others: the same ones would fail the same way.
pub(crate) const SETTINGS_UNUSABLE: u8 = 4;

/// How long a worker may take to end in order.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the worker is started with.
pub(crate) struct Start<'a> {
    /// The settings file.
    pub(crate) settings: &'a Path,
    /// The router's root directory.
    pub(crate) root: &'a Root,
    /// Whether it logs to the system log.
    pub(crate) syslog: bool,
}

/// Is the supervisor, to the end.
pub(crate) fn run(start: &Start<'_>) -> ExitCode {
    match Supervisor::new(start) {
        Ok((mut supervisor, pid_file)) => {
            let code = smol::block_on(supervisor.supervise());
            pid_file.remove();
            code
        }
        Err(error) => {
            log::error!("not started: {error}");
            match error {
                NotTaken::Held(_) => ExitCode::from(RUNNING_ALREADY),
                NotTaken::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Makes this worker end together with its supervisor. Says whether that is still there.
///
/// The worker gets SIGKILL: whatever state it is in, no orphan may keep the port.
pub(crate) fn follow(supervisor: u32) -> io::Result<bool> {
    system::set_parent_process_death_signal(Some(system::Signal::KILL))?;
    // It may have died before the line above.
    let parent = system::getppid().map(|parent| parent.as_raw_nonzero().get());
    Ok(parent.and_then(|parent| u32::try_from(parent).ok()) == Some(supervisor))
}

struct Supervisor {
    worker: Command,
    signals: Signals,
    backoff: Backoff,
}

/// What the supervisor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// SIGTERM or SIGINT: end.
    Stop,
    /// SIGHUP: there are new settings.
    Reload,
    /// SIGCHLD: the worker may have ended.
    Child,
    /// The time is up.
    Timeout,
}

/// What follows the end of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    End,
    Restart { after: Duration },
    AwaitReload,
}

impl Supervisor {
    fn new(start: &Start<'_>) -> Result<(Supervisor, PidFile), NotTaken> {
        // The signals first: whoever reads the pid file may send one at once.
        let signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup, Signal::Child])?;
        let pid_file = PidFile::take(&start.root.pid_file())?;
        // Whoever started this, be it a terminal or a web server, may go. It fails where this
        // process leads its group already, and then does no harm.
        let _ = system::setsid();
        env::set_current_dir("/")?;
        let mut worker = Command::new(env::current_exe()?);
        worker.arg("--worker").arg(process::id().to_string());
        worker.arg("--root").arg(start.root.path());
        if start.syslog {
            worker.arg("--syslog");
        }
        worker.envs(allocator::SETTINGS);
        worker.arg("--").arg(start.settings).stdin(Stdio::null());
        Ok((
            Supervisor {
                worker,
                signals,
                backoff: Backoff::default(),
            },
            pid_file,
        ))
    }

    async fn supervise(&mut self) -> ExitCode {
        loop {
            let next = match self.worker.spawn() {
                Ok(worker) => self.attend(worker).await,
                Err(error) => {
                    let after = self.backoff.after(Duration::ZERO);
                    log::error!(
                        "the broker cannot be started, next try in {}: {error}",
                        words(after)
                    );
                    Next::Restart { after }
                }
            };
            let deadline = match next {
                Next::End => return ExitCode::SUCCESS,
                Next::Restart { after } => Some(Instant::now() + after),
                Next::AwaitReload => None,
            };
            match self.rest(deadline).await {
                Event::Stop => {
                    // There is no worker to say so.
                    always!("stopped");
                    return ExitCode::SUCCESS;
                }
                // Other settings may mend it.
                Event::Reload => self.backoff = Backoff::default(),
                Event::Child | Event::Timeout => {}
            }
        }
    }

    /// Looks after a worker until it has ended.
    async fn attend(&mut self, mut worker: Child) -> Next {
        let started = Instant::now();
        let mut stopping = false;
        let mut reloaded = false;
        let mut deadline = None;
        loop {
            // Looked at after every signal, since signals may merge.
            match worker.try_wait() {
                Ok(None) => {}
                Ok(Some(_)) if stopping => return Next::End,
                // It was not yet ready for the signal, and reads the settings when it starts.
                Ok(Some(status))
                    if reloaded && status.signal() == Some(system::Signal::HUP.as_raw()) =>
                {
                    return Next::Restart {
                        after: Duration::ZERO,
                    };
                }
                Ok(Some(status)) => return self.ended(status, started.elapsed()),
                Err(error) => {
                    log::error!("the broker is lost: {error}");
                    return Next::End;
                }
            }
            match self.event(deadline).await {
                Event::Stop if !stopping => {
                    stopping = true;
                    deadline = Some(Instant::now() + PATIENCE);
                    tell(&worker, system::Signal::TERM);
                }
                Event::Reload if !stopping => {
                    reloaded = true;
                    tell(&worker, system::Signal::HUP);
                }
                Event::Timeout => {
                    log::error!("the broker did not end within {}: killed", words(PATIENCE));
                    deadline = None;
                    tell(&worker, system::Signal::KILL);
                }
                Event::Stop | Event::Reload | Event::Child => {}
            }
        }
    }

    /// Judges the end of a worker that was not asked to end.
    fn ended(&mut self, status: ExitStatus, ran: Duration) -> Next {
        if status.success() {
            return Next::End;
        }
        if status.code() == Some(i32::from(SETTINGS_UNUSABLE)) {
            log::error!("the settings cannot be used; the broker starts when they are changed");
            return Next::AwaitReload;
        }
        let after = self.backoff.after(ran);
        log::error!(
            "the broker crashed after {}: {}; it is started again in {}",
            words(ran),
            reason(status),
            words(after)
        );
        Next::Restart { after }
    }

    /// Waits until there is a reason to start a worker, or to end.
    async fn rest(&mut self, deadline: Option<Instant>) -> Event {
        loop {
            match self.event(deadline).await {
                // That of the worker before.
                Event::Child => {}
                event => return event,
            }
        }
    }

    async fn event(&mut self, deadline: Option<Instant>) -> Event {
        let signal = async {
            match self.signals.next().await {
                Some(Ok(Signal::Hup)) => Event::Reload,
                Some(Ok(Signal::Child)) => Event::Child,
                Some(Ok(_)) => Event::Stop,
                // Our own pipe never fails. If it did, the worker should serve on.
                Some(Err(_)) | None => future::pending().await,
            }
        };
        let timeout = async {
            match deadline {
                Some(deadline) => Timer::at(deadline).await,
                None => future::pending().await,
            };
            Event::Timeout
        };
        future::or(signal, timeout).await
    }
}

/// Sends a signal to a worker that has not been waited for, so its id is still its own.
fn tell(worker: &Child, signal: system::Signal) {
    if let Err(error) = system::kill_process(system::Pid::from_child(worker), signal) {
        log::error!("the broker cannot be told to end or to read its settings: {error}");
    }
}

/// How long to wait before a worker is started again: 1 s, doubled each time up to a minute, and
/// anew after one that ran for longer than that.
struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    fn after(&mut self, ran: Duration) -> Duration {
        if ran > Backoff::LONGEST {
            self.next = Backoff::FIRST;
        }
        let next = (2 * self.next).min(Backoff::LONGEST);
        std::mem::replace(&mut self.next, next)
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            next: Backoff::FIRST,
        }
    }
}

/// Why a worker ended, in words.
fn reason(status: ExitStatus) -> String {
    use system::Signal as S;
    let Some(number) = status.signal() else {
        return format!("exit code {}", status.code().unwrap_or_default());
    };
    let words = match S::from_named_raw(number) {
        Some(S::ABORT) => "SIGABRT, an internal error",
        Some(S::SEGV) => "SIGSEGV, a wrong memory access",
        Some(S::BUS) => "SIGBUS, a wrong memory access",
        Some(S::ILL) => "SIGILL, an instruction this processor lacks",
        Some(S::KILL) => "SIGKILL, perhaps for want of memory",
        Some(S::SYS) => "SIGSYS, a system call that is not allowed",
        Some(S::XCPU) => "SIGXCPU, its processor time is used up",
        Some(S::TERM) => "SIGTERM",
        Some(S::HUP) => "SIGHUP",
        _ => "by another program or by mistake",
    };
    format!("signal {number} ({words})")
}

fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn backoff() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.after(SECOND).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.after(60 * SECOND), 60 * SECOND);
        assert_eq!(backoff.after(61 * SECOND), SECOND);
        assert_eq!(backoff.after(SECOND), 2 * SECOND);
    }

    #[test]
    fn reasons() {
        let reason = |raw| reason(ExitStatus::from_raw(raw));
        assert_eq!(reason(101 << 8), "exit code 101");
        assert_eq!(reason(6), "signal 6 (SIGABRT, an internal error)");
        assert_eq!(
            reason(11 | 0x80),
            "signal 11 (SIGSEGV, a wrong memory access)"
        );
        assert_eq!(reason(40), "signal 40 (by another program or by mistake)");
    }

    #[test]
    fn what_follows_an_end() {
        let signals = Signals::new([] as [Signal; 0]).unwrap();
        let worker = Command::new("true");
        let mut supervisor = Supervisor {
            worker,
            signals,
            backoff: Backoff::default(),
        };
        let mut next = |raw| supervisor.ended(ExitStatus::from_raw(raw), SECOND);
        assert_eq!(next(0), Next::End);
        assert_eq!(next(i32::from(SETTINGS_UNUSABLE) << 8), Next::AwaitReload);
        assert_eq!(next(1 << 8), Next::Restart { after: SECOND });
        assert_eq!(next(9), Next::Restart { after: 2 * SECOND });
    }

    #[test]
    fn times_in_words() {
        let words = |seconds| words(Duration::from_secs(seconds));
        assert_eq!(
            [words(0), words(119), words(120)],
            ["0 s", "119 s", "2 min"]
        );
        assert_eq!([words(7200), words(172_800)], ["2 h", "2 days"]);
    }
}
