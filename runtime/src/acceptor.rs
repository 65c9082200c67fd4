//! Accepts connections and hands them to the loops of a group.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::intake::{Arrivals, Door, INTAKE_CAPACITY, Intake};
use crate::net::TcpListener;
use crate::placement::{Candidate, choose};
use crate::task::yield_now;
use crate::time::sleep;

/// Connections accepted before the acceptor's loop turns once.
const ACCEPTS_PER_TURN: usize = 256;

/// The pause after the process or the system has run out of descriptors or memory. Trying at once
/// would spin: the connection that could not be accepted stays in the backlog.
const PAUSE_WHEN_EXHAUSTED: Duration = Duration::from_millis(100);

/// Accepts connections on the loop that runs it, and hands each to the least loaded of several
/// loops.
#[derive(Debug)]
pub struct Acceptor {
    intakes: Vec<Arc<Intake>>,
    door: Arc<Door>,
    /// How many connections were placed.
    placed: usize,
}

impl Acceptor {
    /// An acceptor for `loops` loops, and what each of them takes its connections from.
    #[must_use]
    pub fn new(loops: usize) -> (Self, Vec<Arrivals>) {
        let door = Arc::new(Door::default());
        let intakes: Vec<_> =
            (0..loops).map(|_| Intake::new(INTAKE_CAPACITY, door.clone())).collect();
        let arrivals = intakes.iter().cloned().map(Arrivals::new).collect();
        (Self { intakes, door, placed: 0 }, arrivals)
    }

    /// Accepts from `listener` until dropped. When every intake is full it stops accepting until
    /// there is room: the kernel's backlog is the brake. It never fails: what concerns one
    /// connection ends that connection, and when descriptors run out it pauses.
    pub async fn accept_from(&mut self, listener: &TcpListener) {
        loop {
            for _ in 0..ACCEPTS_PER_TURN {
                self.wait_for_room().await;
                match listener.accept_std().await {
                    Ok((stream, peer)) => self.place(stream, peer),
                    Err(error) => self.recover(&error).await,
                }
            }
            yield_now().await;
        }
    }

    /// Hands on the connections that wait to be accepted now, and returns when there are none.
    /// For a shutdown: their peers think that they are connected.
    pub async fn accept_waiting(&mut self, listener: &TcpListener) {
        loop {
            self.wait_for_room().await;
            match listener.try_accept_std() {
                Ok((stream, peer)) => self.place(stream, peer),
                Err(error) if is_exhaustion(&error) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    fn place(&mut self, stream: TcpStream, peer: SocketAddr) {
        let candidates = self
            .intakes
            .iter()
            .map(|intake| Candidate { open: intake.open(), is_full: intake.is_full() });
        // Only this task fills the intakes, and it has waited for room.
        if let Some(index) = choose(candidates, self.placed)
            && self.intakes[index].hand(stream, peer).is_ok()
        {
            self.placed = self.placed.wrapping_add(1);
        }
    }

    async fn wait_for_room(&self) {
        let has_room = || self.intakes.iter().any(|intake| !intake.is_full());
        if !has_room() {
            self.door.wait(has_room).await;
        }
    }

    async fn recover(&self, error: &io::Error) {
        if is_exhaustion(error) {
            tracing::warn!(target: "brigade", %error, "accepting pauses");
            sleep(PAUSE_WHEN_EXHAUSTED).await;
        } else {
            // The connection went away before it was accepted, or its network is in trouble:
            // accept(2) says to treat such errors like no connection.
            tracing::debug!(target: "brigade", %error, "a connection was not accepted");
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.intakes.iter().for_each(|intake| intake.close());
    }
}

/// Whether accept(2) failed because the process or the system has no more to give.
fn is_exhaustion(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    #[cfg(target_os = "linux")]
    const ENOBUFS: i32 = 105;
    #[cfg(not(target_os = "linux"))]
    const ENOBUFS: i32 = 55;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}
