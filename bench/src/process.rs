//! What a broker takes of the machine, all its processes and threads together.

use std::fs;
use std::time::Duration;

use crate::failure::{Failure, Result};

/// The processes of one broker.
#[derive(Clone, Debug)]
pub(crate) struct Processes(Vec<u32>);

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was resident.
    pub(crate) peak: u64,
}

impl Processes {
    /// This one, and whatever it has started.
    pub(crate) fn of(root: u32) -> Result<Processes> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // One that has ended meanwhile.
            let Ok(status) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            // The name in brackets may hold anything; state and parent come after it.
            let parent = status
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1));
            let parent = parent.and_then(|parent| parent.parse::<u32>().ok());
            parents.push((process, parent));
        }
        let mut found = vec![root];
        let mut index = 0;
        while let Some(&parent) = found.get(index) {
            let children = parents.iter().filter(|(_, of)| *of == Some(parent));
            found.extend(children.map(|&(process, _)| process));
            index += 1;
        }
        Ok(Processes(found))
    }

    /// Processor time of the threads that there are, as the scheduler counts it.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        self.each_thread(|directory| {
            if let Ok(text) = fs::read_to_string(format!("{directory}/schedstat")) {
                let first = text.split_whitespace().next().unwrap_or_default();
                nanoseconds += first.parse::<u64>().unwrap_or_default();
            }
        })?;
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// How often a thread went to sleep, and so was woken.
    pub(crate) fn sleeps(&self) -> Result<u64> {
        let mut sleeps = 0;
        self.each_thread(|directory| {
            if let Ok(text) = fs::read_to_string(format!("{directory}/status")) {
                sleeps += field(&text, "voluntary_ctxt_switches:").unwrap_or_default();
            }
        })?;
        Ok(sleeps)
    }

    /// Memory, shared pages counted for each process.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        for process in &self.0 {
            let text = fs::read_to_string(format!("/proc/{process}/status"))?;
            let kilobytes = |name| field(&text, name).ok_or(Failure::from("the broker has ended"));
            memory.resident += kilobytes("VmRSS:")? * 1024;
            memory.peak += kilobytes("VmHWM:")? * 1024;
        }
        Ok(memory)
    }

    /// How many descriptors are open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let count = |process| Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count());
        self.0.iter().map(count).sum()
    }

    fn each_thread(&self, mut visit: impl FnMut(&str)) -> Result<()> {
        for process in &self.0 {
            for thread in fs::read_dir(format!("/proc/{process}/task"))?.flatten() {
                visit(&thread.path().to_string_lossy());
            }
        }
        Ok(())
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_belong_to_it() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let processes = Processes::of(std::process::id()).unwrap();
        assert!(processes.0.contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn work_takes_time_and_memory() {
        let processes = Processes::of(std::process::id()).unwrap();
        let before = processes.cpu().unwrap();
        let filled = vec![1_u8; 8 << 20];
        let memory = processes.memory().unwrap();
        assert!(memory.peak >= memory.resident && memory.resident > filled.len() as u64);
        // Until the scheduler has seen it.
        while processes.cpu().unwrap() == before {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn fields() {
        let text = "VmHWM:\t  12 kB\nVmRSS:\t   7 kB\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(field(text, "VmRSS:"), Some(7));
        assert_eq!(field(text, "voluntary_ctxt_switches:"), Some(3));
        assert_eq!(field(text, "VmSwap:"), None);
    }
}
