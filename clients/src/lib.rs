//! The command-line clients mosquitto_pub, mosquitto_sub and mosquitto_rr.
//!
//! They are a part of the broker's executable, which calls [`run`] when it is itself called by one of their names: most
//! of it is OpenSSL, and a router's flash is to hold that once.
#![forbid(unsafe_code)]

mod client;
mod connect;
mod conversation;
mod exit;
pub mod format;
mod lines;
pub mod options;
mod outbox;
mod passphrase;
mod publish;
mod request;
mod socks;
mod subscribe;
mod transport;
mod watch;
mod websocket;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use client::Client;
use conversation::Application;
use exit::Failure;
use options::{Command, Options, Origin, Task};
use publish::Publisher;
use request::Requester;
use subscribe::Subscriber;
use transport::Dialer;

/// One of the three programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `mosquitto_pub`: publishes Application Messages.
    Pub,
    /// `mosquitto_sub`: subscribes, and prints what comes.
    Sub,
    /// `mosquitto_rr`: publishes a request, and prints the response.
    Rr,
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 3] = [Tool::Pub, Tool::Sub, Tool::Rr];

    /// The tool that goes by this name, which may have a path before it; None for every other program.
    pub fn from_name(called: &OsStr) -> Option<Tool> {
        let name = Path::new(called).file_name()?;
        Tool::ALL.into_iter().find(|tool| name == tool.name())
    }

    /// The program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Tool::Pub => "mosquitto_pub",
            Tool::Sub => "mosquitto_sub",
            Tool::Rr => "mosquitto_rr",
        }
    }
}

/// Is the tool, to the end. `arguments` are those behind the program's name.
pub fn run(tool: Tool, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // Nobody is left to tell if standard error takes nothing.
    let complain = |lines: &str| drop(io::stderr().write_all(lines.as_bytes()));
    let print = |text: &str| match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    };
    let options = match options::read(tool, &Origin::of_process(arguments)) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Print(text)) => return print(&text),
        Err(mistake) => {
            complain(&mistake.standard_error(tool));
            print(&mistake.standard_output(tool));
            return ExitCode::FAILURE;
        }
    };
    let quiet = options.quiet;
    match work(*options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !quiet {
                complain(&failure.lines(tool == Tool::Pub));
            }
            ExitCode::from(failure.code())
        }
    }
}

fn work(options: Options) -> Result<(), Failure> {
    let Options {
        connection,
        session,
        task,
        debug,
        quiet,
    } = options;
    let mut application: Box<dyn Application> = match task {
        Task::Publish(publish) => Box::new(Publisher::new(publish, quiet)?),
        Task::Subscribe(subscribe) => Box::new(Subscriber::new(subscribe, debug, quiet)?),
        Task::Request(request) => Box::new(Requester::new(request, quiet)?),
    };
    let mut client = Client::new(connect::start(&session, debug)?, Instant::now());
    let dialer = Dialer::new(&connection)?;
    smol::block_on(conversation::run(&dialer, &mut client, &mut *application))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(name: &str) -> Option<Tool> {
        Tool::from_name(OsStr::new(name))
    }

    #[test]
    fn the_last_part_of_the_name_counts() {
        for tool in Tool::ALL {
            assert_eq!(called(tool.name()), Some(tool));
            assert_eq!(called(&format!("/usr/bin/{}", tool.name())), Some(tool));
            assert_eq!(called(&format!("../bin/{}", tool.name())), Some(tool));
        }
    }

    #[test]
    fn others_are_no_clients() {
        for name in [
            "",
            "/",
            "..",
            "mqtt_broker",
            "/opt/mqtt_broker/bin/mqtt_broker",
            "mosquitto",
            "mosquitto_pub2",
            "mosquitto_pub/mqtt_broker",
            "MOSQUITTO_PUB",
        ] {
            assert_eq!(called(name), None, "{name}");
        }
    }
}
