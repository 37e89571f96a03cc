//! The machine: one core for the broker, another for the generator, and the clock.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::failure::Result;

/// Which core is whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) broker: usize,
    pub(crate) generator: usize,
}

impl Cores {
    /// The first two that this process may use; one serves both if there are no two.
    pub(crate) fn choose() -> Result<Cores> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let broker = cores.next().ok_or("there is no core to run on")?;
        let generator = cores.next().unwrap_or(broker);
        Ok(Cores { broker, generator })
    }

    pub(crate) fn are_two(self) -> bool {
        self.broker != self.generator
    }
}

/// Keeps this process, and whatever it starts from now on, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Goes before other programs of this machine, brokers included, and lets them have enough descriptors. Returns whether it
/// was allowed.
pub(crate) fn raise_priority() -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let wanted = Some(64 * 1024);
    let limit = |limit| Rlimit {
        current: limit,
        maximum: limit,
    };
    // Without the right to more, what is allowed must do.
    if setrlimit(Resource::Nofile, limit(wanted)).is_err() {
        let _ = setrlimit(Resource::Nofile, limit(maximum));
    }
    // Sessions are groups of their own where the kernel groups automatically.
    let _ = std::fs::write("/proc/self/autogroup", "-15");
    setpriority_process(None, -15).is_ok()
}

/// Puts this process, and whatever it starts from now on, into the class that is served first, or back. For rates at which
/// cores are mostly idle: otherwise latencies are the time slices of other programs. Returns whether it was allowed.
pub(crate) fn set_realtime(wanted: bool) -> bool {
    let class = if wanted { ["-f", "1"] } else { ["-o", "0"] };
    let process = std::process::id().to_string();
    let mut command = std::process::Command::new("chrt");
    command
        .args([class[0], "-p", class[1], &process])
        .stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Nanoseconds of a clock that only goes forwards.
#[inline]
pub(crate) fn now() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Processor time that this thread has used.
pub(crate) fn own_cpu() -> Duration {
    Duration::from_nanos(nanoseconds(ClockId::ThreadCPUTime))
}

#[inline]
fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
