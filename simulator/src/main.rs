//! A router on your desk: installs a package, serves its pages, runs its init script.
//!
//! It stands in for the firmware of a router and knows only what the firmware knows: how a package is laid out, which
//! of its scripts are called when, and how its pages are reached. Everything happens below one scratch directory, so
//! it needs no root.
#![forbid(unsafe_code)]

mod archive;
mod arguments;
mod cgi;
mod http;
mod login;
mod module;
mod multipart;
mod pages;
mod root;
mod script;
mod server;
mod syslog;
mod www;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::future::{FutureExt as _, or};
use smol::net::TcpListener;
use smol::stream::StreamExt as _;
use smol::{LocalExecutor, Timer};

use crate::arguments::{Arguments, Wish};
use crate::module::Modules;
use crate::root::Root;
use crate::server::Router;
use crate::syslog::SystemLog;

/// Largest package, on the command line as in the browser.
const MAX_PACKAGE: u64 = 64 << 20;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Wish::Run(arguments)) => *arguments,
        Ok(Wish::Help) => {
            say(arguments::USAGE.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("simulator: {fault}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    // The firmware's own; packages carry their modes, scripts set what they need.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));

    // Dropping the executor drops every connection, and with it the CGI programs still running for one.
    let executor = Rc::new(LocalExecutor::new());
    let ended = smol::block_on(executor.run(simulate(arguments, executor.clone())));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("simulator: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// One life of the router, from power-on to power-off.
async fn simulate(
    arguments: Arguments,
    executor: Rc<LocalExecutor<'static>>,
) -> Result<(), String> {
    let mut signals = Signals::new([Signal::Int, Signal::Term, Signal::Hup]).map_err(sentence)?;
    let mut root = Root::lay_out(&arguments.root).map_err(sentence)?;
    prepare_login(&root, &arguments)?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
    let address = listener.local_addr().map_err(sentence)?;
    let log = Rc::new(
        SystemLog::open(&root).map_err(|error| format!("cannot open the system log: {error}"))?,
    );
    executor.spawn(SystemLog::receive(log.clone())).detach();

    let modules = Modules::new(root.path().to_owned(), arguments.upgrade, log.clone());
    if root.lost_power() {
        // What a killed simulator left running still answers to its pid file, which is about to go.
        log.note("the last run did not end in order; stopping what it left");
        modules.stop_all().await;
    }
    root.power_on().map_err(sentence)?;

    let router = Rc::new(
        Router::new(modules, log.clone(), root.htpasswd(), arguments.hide).map_err(sentence)?,
    );
    let life = async {
        router.modules().start_all().await;
        for package in &arguments.install {
            let installed = install(router.modules(), package).await;
            installed.map_err(|error| format!("{}: {error}", package.display()))?;
        }
        say(&format!("listening on http://{address}/"));
        server::serve(listener, router.clone(), executor.clone()).await;
        Ok(())
    };
    let ended = or(life, async {
        signals.next().await;
        Ok(())
    })
    .await;
    router.modules().last_change().await;
    router.modules().stop_all().await;
    root.power_off();
    ended
}

/// Installs a package named on the command line, through the code that serves an upload.
async fn install(modules: &Modules, package: &std::path::Path) -> Result<(), String> {
    let size = smol::fs::metadata(package).await.map_err(sentence)?.len();
    if size > MAX_PACKAGE {
        return Err(format!(
            "the package has {size} bytes, more than the {MAX_PACKAGE} that a router takes"
        ));
    }
    let bytes = smol::fs::read(package).await.map_err(sentence)?;
    modules.install(bytes).await.map(drop).map_err(sentence)
}

/// A login given on the command line replaces the file's; without one the file is made only where there is none.
fn prepare_login(root: &Root, arguments: &Arguments) -> Result<(), String> {
    let file = root.htpasswd();
    if arguments.login_given || !file.exists() {
        login::write(&file, &arguments.user, &arguments.password)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(())
}

/// One line on standard output; a reader that has gone away is no reason to stop.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn sentence(error: impl Display) -> String {
    error.to_string()
}

/// Bytes that nobody can guess.
fn random<const LENGTH: usize>() -> std::io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// What `future` gives within `limit`, or nothing.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    async { Some(future.await) }
        .or(async {
            Timer::after(limit).await;
            None
        })
        .await
}
