//! Which allocator this program has, and how it is set.
//!
//! Those of the C libraries are slow with large buffers (musl), or keep what a peak has taken (glibc). mimalloc is neither,
//! if it gives back at once what is freed: it has no thread of its own, and an idle broker never calls it to do so later.
//! It reads its settings from the environment, once, when a process starts. Clients are left with its defaults.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, io};

use async_signal::{Signal, Signals};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What the process that serves clients is to have in its environment. No huge page: where a system has them switched on
/// for all, a few bytes make 2 MiB resident.
pub(crate) const SETTINGS: [(&str, &str); 2] =
    [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ALLOW_THP", "0")];

/// Starts the program anew, as the same process, unless the environment has the settings. Returns if it has them, or with
/// the reason why that cannot be done; then memory is given back late.
pub(crate) fn set() -> io::Result<()> {
    if SETTINGS
        .iter()
        .all(|(name, value)| env::var_os(name).is_some_and(|found| found == *value))
    {
        return Ok(());
    }
    let mut words = env::args_os();
    let mut program = Command::new(env::current_exe()?);
    if let Some(name) = words.next() {
        program.arg0(name);
    }
    let failed = program.args(words).envs(SETTINGS).exec();
    // On the way there SIGPIPE was given the effect that programs begin with: a client that goes away while a large payload
    // is written would end the broker. Once caught it has none, even when nobody listens any more.
    drop(Signals::new([Signal::Pipe])?);
    Err(failed)
}
