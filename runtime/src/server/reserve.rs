//! Prepares the process for many file descriptors: one is kept in reserve for the time when none
//! is left, and the kernel's table gets room for those that will be open.

use std::fs::{self, File};
use std::io;
use std::sync::Once;

use crate::net::Listener;

/// The most connections that are turned away in one go.
const TURNED_AWAY_MAX: usize = 4096;

/// A descriptor that is open for nothing. Once it is closed, waiting connections can be accepted
/// and closed: their peers learn at once that they are not served, instead of waiting in the
/// backlog.
#[derive(Debug)]
pub(crate) struct Reserve {
    kept: Option<File>,
}

impl Reserve {
    /// Opens the reserve. The first one of a process makes room in the table of descriptors.
    pub(crate) fn new() -> Self {
        let kept = open();
        if let Some(file) = &kept {
            static ROOM: Once = Once::new();
            ROOM.call_once(|| make_room(file));
        }
        Self { kept }
    }

    /// Accepts and closes the connections that wait. Returns their number.
    pub(crate) fn turn_away(&mut self, listener: &impl Listener) -> usize {
        self.kept = None;
        let mut count = 0;
        while count < TURNED_AWAY_MAX {
            match listener.try_accept_any() {
                Ok(_) => count += 1,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
        // Fails if another thread took the descriptor. Then there is no reserve until next time.
        self.kept = open();
        count
    }
}

fn open() -> Option<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok()
}

/// The most descriptors that the table gets room for.
const ROOM_MAX: usize = 16 * 1024;

/// Makes Linux grow the process's table of descriptors to its later size.
///
/// The table doubles when it is full. In a process with threads, the thread that opens one
/// descriptor too many then sleeps in the kernel until every core has been idle or has switched
/// tasks (`expand_fdtable`, `synchronize_rcu`): 10 ms, or seconds if the cores are busy. Meanwhile
/// nothing is accepted and no signal is received. Before there are threads it takes no time, and
/// the table never shrinks.
fn make_room(file: &File) {
    let Some(limit) = descriptors_max() else { return };
    // A descriptor in the upper half makes the table as large as the whole.
    let count = limit.min(ROOM_MAX) / 2 + 1;
    drop((0..count).map_while(|_| file.try_clone().ok()).collect::<Vec<_>>());
}

/// Returns how many descriptors the process may have, on Linux (proc_pid_limits(5)).
fn descriptors_max() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux", not(brigade_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_descriptors_is_that_of_the_shell() {
        let output = std::process::Command::new("sh").args(["-c", "ulimit -n"]).output().unwrap();
        let limit = String::from_utf8(output.stdout).unwrap();
        assert_eq!(descriptors_max(), limit.trim().parse().ok());
    }

    #[test]
    fn the_table_of_descriptors_has_room_before_they_are_needed() {
        let _reserve = Reserve::new();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        let size: usize = size.trim().parse().unwrap();
        let expected = descriptors_max().unwrap().min(ROOM_MAX);
        assert!(size >= expected, "room for {size} descriptors of {expected}");
    }
}
