//! The MQTT broker daemon, and the command-line clients where it is called by their names.
#![forbid(unsafe_code)]

mod allocator;
mod arguments;
mod broker;
mod certificates;
mod check;
mod connection;
mod engine;
mod handshake;
mod link;
mod listener;
mod log_line;
mod mailbox;
mod observer;
mod pid_file;
mod reactor;
mod refusals;
mod root;
mod socket;
mod supervisor;
mod syslog;
mod upgrade;
mod websocket;
mod worker;

use std::io::{self, Write};
use std::path::{self, PathBuf};
use std::process::ExitCode;
use std::{env, fmt};

use arguments::{Command, Role, Run};
use clients::Tool;
use root::Root;
use rustix::fs::Mode;
use syslog::Destination;

/// Exit code for arguments that make no sense.
const MISUSE: u8 = 64;

fn main() -> ExitCode {
    let called = env::args_os().next();
    if let Some(tool) = called.as_deref().and_then(Tool::from_name) {
        return clients::run(tool, env::args_os().skip(1));
    }
    match arguments::parse(env::args_os().skip(1)) {
        Ok(Command::Run(run)) => be_broker(run),
        Ok(Command::Check { source, json }) => check::check(&source, json, &mut io::stdout()),
        Ok(Command::Enabled(settings)) => check::enabled(&settings),
        Ok(Command::Version) => print(&format!(
            "mqtt_broker {}, {}\n",
            env!("CARGO_PKG_VERSION"),
            tls::openssl_version()
        )),
        Ok(Command::Help) => print(arguments::HELP),
        Err(misuse) => refuse(&misuse),
    }
}

fn be_broker(run: Run) -> ExitCode {
    // Before anything else, so that no moment is left in which the supervisor's end is missed.
    if let Role::Worker(supervisor) = run.role
        && !supervisor::follow(supervisor).unwrap_or(false)
    {
        return ExitCode::FAILURE;
    }
    if run.role == Role::Alone {
        // In an emulator, for example, it can't be done.
        let _ = allocator::set();
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let root = match Root::find(run.root.as_deref(), env::args_os().next().as_deref()) {
        Ok(root) => root,
        Err(unknown) => return refuse(&unknown),
    };
    let settings = absolute(run.settings);
    let destination = if run.syslog {
        Destination::Syslog
    } else {
        Destination::StandardError
    };
    syslog::start(destination, &root);
    let code = match run.role {
        Role::Supervisor => supervisor::run(&supervisor::Start {
            settings: &settings,
            root: &root,
            syslog: run.syslog,
        }),
        Role::Alone | Role::Worker(_) => worker::run(worker::Start {
            settings,
            root,
            supervised: run.role != Role::Alone,
        }),
    };
    log::logger().flush();
    code
}

/// The supervisor changes its directory.
fn absolute(file: PathBuf) -> PathBuf {
    path::absolute(&file).unwrap_or(file)
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(why: &dyn fmt::Display) -> ExitCode {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "mqtt_broker: {why} See mqtt_broker --help.");
    ExitCode::from(MISUSE)
}
