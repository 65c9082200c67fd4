//! What is seen to before descriptors are needed: one that is kept back for the day when none is
//! left, and room in the table of those that will be open.

use std::fs::{self, File};
use std::io;
use std::sync::Once;

use crate::net::TcpListener;

/// Connections turned away at one go.
const TURNED_AWAY_MAX: usize = 4096;

/// A descriptor that does nothing. Given up, it lets connections be accepted that can only be
/// closed: their peers hear at once that they are not served, and do not wait in the backlog.
#[derive(Debug)]
pub(crate) struct Reserve {
    kept: Option<File>,
}

impl Reserve {
    pub(crate) fn new() -> Self {
        let kept = open();
        if let Some(file) = &kept {
            static ROOM: Once = Once::new();
            ROOM.call_once(|| make_room(file));
        }
        Self { kept }
    }

    /// Accepts and closes the connections that wait. Returns how many.
    pub(crate) fn turn_away(&mut self, listener: &TcpListener) -> usize {
        self.kept = None;
        let mut count = 0;
        while count < TURNED_AWAY_MAX {
            match listener.try_accept_std() {
                Ok(_) => count += 1,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
        // Another thread may have been quicker: then there is no reserve until the next time.
        self.kept = open();
        count
    }
}

fn open() -> Option<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok()
}

/// Room in the table of descriptors is made for so many, as far as the process may have them.
const ROOM_MAX: usize = 16 * 1024;

/// Has Linux grow the process's table of descriptors to its later size. It doubles when it is full,
/// and in a process with threads whoever opens the descriptor too many sleeps in the kernel until
/// all cores have been seen idle or in another task (`expand_fdtable`, `synchronize_rcu`): for
/// 10 ms, or seconds if they are busy, in which nobody accepts and no signal is heard. Before there
/// are threads it costs nothing, and the table never shrinks.
fn make_room(file: &File) {
    let Some(limit) = descriptors_max() else { return };
    // One in the upper half makes the table as large as the whole.
    let count = limit.min(ROOM_MAX) / 2 + 1;
    drop((0..count).map_while(|_| file.try_clone().ok()).collect::<Vec<_>>());
}

/// How many descriptors the process may have, on Linux (proc_pid_limits(5)).
fn descriptors_max() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux", not(brigade_loom)))]
mod tests {
    use super::*;

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
