//! The process that serves clients.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;

use async_signal::{Signal, Signals};
use settings::{Problem, Settings};
use smol::stream::StreamExt;

use crate::broker::{Broker, Ended, Mail};
use crate::certificates::Protection;
use crate::handshake::Handshakes;
use crate::mailbox::{self, Sender};
use crate::observer::{self, Observer};
use crate::reactor;
use crate::root::Root;
use crate::supervisor::SETTINGS_UNUSABLE;
use crate::syslog::{self, always};

/// What the broker is started with. The log is running.
pub(crate) struct Start {
    /// The settings file, as an absolute path. A missing one means the defaults.
    pub(crate) settings: PathBuf,
    /// The router's root directory.
    pub(crate) root: Root,
    /// Whether a supervisor acts on the exit code: 0 the end was asked for or the broker is
    /// disabled, [`SETTINGS_UNUSABLE`] wait for other settings, anything else start again.
    pub(crate) supervised: bool,
}

/// Serves until SIGTERM or SIGINT, or until the settings disable the broker.
pub(crate) fn run(start: Start) -> ExitCode {
    match serve(start) {
        Ok(code) => code,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(start: Start) -> io::Result<ExitCode> {
    // First of all: from here on a signal is heard, if only later.
    let signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    let (settings, protection) = match read(&start.settings, start.supervised)? {
        Ok(read) => read,
        Err(problems) => {
            for problem in &problems {
                log::error!("settings: {problem}");
            }
            return Ok(ExitCode::from(SETTINGS_UNUSABLE));
        }
    };
    syslog::set_level(settings.log_level);
    if !settings.enabled {
        always!("not started: the broker is disabled");
        return Ok(ExitCode::SUCCESS);
    }
    always!(
        "version {} started, {}",
        env!("CARGO_PKG_VERSION"),
        tls::openssl_version()
    );
    for warning in settings
        .warnings()
        .into_iter()
        .chain(protection.warnings.now())
    {
        log::warn!("settings: {warning}");
    }
    reactor::start()?;
    let (sender, mailbox) = mailbox::new()?;
    let handshakes = Handshakes::start(sender.clone())?;
    let broker = Broker::new(settings, protection, handshakes);
    broker.spawn(mailbox::serve(Rc::clone(&broker), mailbox));
    let path = start.root.observer_socket();
    // Without it the status page is poorer, nothing else.
    match Observer::open(&path) {
        Ok(observer) => broker.spawn(observer::serve(Rc::clone(&broker), observer)),
        Err(error) => log::warn!(
            "no status for the web page, {} fails: {error}",
            path.display()
        ),
    }
    watch_signals(signals, sender, start.settings, start.supervised)?;
    let ended = broker.run()?;
    // Whoever finds it gone knows that the broker has stopped; an error would mean that it is gone already.
    let _ = std::fs::remove_file(&path);
    match ended {
        Ended::Terminated => always!("stopped"),
        Ended::Disabled => always!("stopped: the broker is disabled"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the thread that waits for signals, and reads the settings for the core when it is told to.
fn watch_signals(
    mut signals: Signals,
    sender: Sender,
    path: PathBuf,
    supervised: bool,
) -> io::Result<()> {
    let watch = move || {
        while let Some(signal) = smol::block_on(signals.next()) {
            sender.send(match signal {
                Ok(Signal::Hup) => Mail::Reload(reload(&path, supervised)),
                Ok(_) => Mail::Terminate,
                Err(error) => Mail::Reload(Err(vec![error.to_string()])),
            });
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .stack_size(128 * 1024)
        .spawn(watch)?;
    Ok(())
}

fn reload(path: &Path, supervised: bool) -> Result<Box<Read>, Vec<String>> {
    match read(path, supervised) {
        Ok(Ok(read)) => Ok(Box::new(read)),
        Ok(Err(problems)) => Err(problems.iter().map(ToString::to_string).collect()),
        Err(error) => Err(vec![error.to_string()]),
    }
}

/// What the settings ask for, and the TLS that is made of them.
type Read = (Settings, Protection);

/// Reads the settings. The outer error is one of the file, and may pass. Whoever starts the broker by hand wants it to
/// run, whatever `ENABLED` says.
fn read(path: &Path, supervised: bool) -> io::Result<Result<Read, Vec<Problem>>> {
    let settings = Settings::parse(&settings::file::read(path)?.unwrap_or_default());
    Ok(settings.and_then(|mut settings| {
        settings.enabled |= !supervised;
        let protection = Protection::new(&settings)?;
        Ok((settings, protection))
    }))
}
