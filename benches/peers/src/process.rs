//! The CPU time and memory of a process, from the kernel's accounts.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use crate::machine::{field, number};

/// A running process, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its id.
    pub id: u32,
}

impl Process {
    /// Returns the CPU time, user and kernel, of all its living threads, to the nanosecond.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn cpu(self) -> io::Result<Duration> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id))? {
            // A thread may end between the listing and the reading.
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            total += number(&text).unwrap_or(0);
        }
        match total {
            0 => Err(io::Error::other(format!("there is no CPU time for process {}", self.id))),
            nanoseconds => Ok(Duration::from_nanos(nanoseconds)),
        }
    }

    /// Returns the CPU time that was used since it was `before`.
    ///
    /// # Errors
    /// If the process is gone, or threads ended meanwhile, whose time is no longer counted.
    pub fn cpu_since(self, before: Duration) -> io::Result<Duration> {
        let lost = || io::Error::other("threads ended, and their CPU time is lost");
        self.cpu()?.checked_sub(before).ok_or_else(lost)
    }

    /// Returns how often its living threads have waited: their voluntary context switches.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn waits(self) -> io::Result<u64> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id))? {
            // A thread may end between the listing and the reading.
            let text = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
            let waits = field(&text, "voluntary_ctxt_switches:").and_then(|text| number(&text));
            total += waits.unwrap_or(0);
        }
        Ok(total)
    }

    /// Returns how many descriptors each of its epoll instances watches, the largest number first.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn watched(self) -> io::Result<Vec<usize>> {
        // An instance may have several descriptors, as mio's has, so it is identified by what it
        // watches.
        let mut instances = BTreeSet::new();
        for descriptor in fs::read_dir(format!("/proc/{}/fdinfo", self.id))? {
            // A descriptor may be closed between the listing and the reading.
            let text = fs::read_to_string(descriptor?.path()).unwrap_or_default();
            let targets: Vec<_> = text.lines().filter(|line| line.starts_with("tfd:")).collect();
            instances.insert(targets.into_iter().map(str::to_owned).collect::<Vec<_>>());
        }
        let mut watched: Vec<_> = instances.iter().map(Vec::len).collect();
        watched.sort_unstable_by(|a, b| b.cmp(a));
        Ok(watched)
    }

    /// Returns the resident memory, in bytes, without the kernel's memory for its sockets.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn resident(self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id))?;
        let kib = field(&text, "Rss:").and_then(|text| number(&text));
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("smaps_rollup has no Rss"))
    }
}
