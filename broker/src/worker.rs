//! The process that serves clients.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use async_signal::{Signal, Signals};
use settings::{Problem, Settings};
use smol::stream::StreamExt;

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
    match smol::block_on(serve(start)) {
        Ok(code) => code,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(start: Start) -> io::Result<ExitCode> {
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    let settings = match read(&start.settings)? {
        Ok(settings) => settings,
        Err(problems) => {
            log_problems(&problems);
            return Ok(ExitCode::from(SETTINGS_UNUSABLE));
        }
    };
    syslog::set_level(settings.log_level);
    if start.supervised && !settings.enabled {
        always!("not started: the broker is disabled");
        return Ok(ExitCode::SUCCESS);
    }
    always!("version {} started", env!("CARGO_PKG_VERSION"));
    log::debug!("below {}", start.root.path().display());
    while let Some(signal) = signals.next().await {
        if signal? != Signal::Hup {
            break;
        }
        match read(&start.settings) {
            Ok(Ok(settings)) if settings.enabled || !start.supervised => {
                syslog::set_level(settings.log_level);
                log::info!("settings read");
            }
            Ok(Ok(_)) => break,
            Ok(Err(problems)) => log_problems(&problems),
            Err(error) => log::error!("{error}"),
        }
    }
    always!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Reads the settings. The outer error is one of the file, and may pass.
fn read(path: &Path) -> io::Result<Result<Settings, Vec<Problem>>> {
    Ok(Settings::parse(
        &settings::file::read(path)?.unwrap_or_default(),
    ))
}

fn log_problems(problems: &[Problem]) {
    for problem in problems {
        log::error!("settings: {problem}");
    }
}
