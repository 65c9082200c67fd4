//! So many connections at all times, each asking again as soon as it is answered.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::exchanges::{End, Exchanges, Outcome};

/// Connections opened but not yet answered while the load is being set up: far below any backlog.
const OPENING_AT_ONCE: usize = 256;
/// How long the set-up may take.
const OPENING_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait for an event.
const TICK: Duration = Duration::from_millis(10);

/// What becomes of a connection that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It asks again.
    Alive,
    /// The server closes it, and a new one is opened.
    Churn,
}

/// A closed loop of requests to `/`.
pub struct ClosedLoop {
    exchanges: Exchanges,
    keep: Keep,
    outcomes: Vec<Outcome>,
}

impl ClosedLoop {
    /// Opens the connections. Kept alive, each has been answered once on return and is idle.
    ///
    /// # Errors
    /// If a connection is refused or lost, or not answered in time.
    pub fn open(server: SocketAddr, connections: usize, keep: Keep) -> io::Result<Self> {
        let end = if keep == Keep::Alive { End::Answer } else { End::Close };
        let exchanges = Exchanges::new(server, "/", end)?;
        let mut this = Self { exchanges, keep, outcomes: Vec::new() };
        match keep {
            Keep::Alive => this.open_idle(connections)?,
            Keep::Churn => (0..connections).try_for_each(|_| this.exchanges.open())?,
        }
        Ok(this)
    }

    /// Runs for that long and returns how many requests were answered.
    ///
    /// # Errors
    /// If a request was not answered by a 200.
    pub fn run(&mut self, time: Duration) -> io::Result<u64> {
        let mut answered = 0;
        for outcome in std::mem::take(&mut self.outcomes) {
            self.ask(outcome)?;
        }
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            let mut outcomes = Vec::new();
            self.exchanges.wait(TICK, &mut outcomes)?;
            for outcome in outcomes {
                answered += 1;
                self.ask(outcome)?;
            }
        }
        Ok(answered)
    }

    fn open_idle(&mut self, connections: usize) -> io::Result<()> {
        let deadline = Instant::now() + OPENING_TIMEOUT;
        let mut opened = 0;
        while self.outcomes.len() < connections {
            while opened < connections && opened - self.outcomes.len() < OPENING_AT_ONCE {
                self.exchanges.open()?;
                opened += 1;
            }
            self.exchanges.wait(TICK, &mut self.outcomes)?;
            if Instant::now() > deadline {
                let idle = self.outcomes.len();
                return Err(io::Error::other(format!("{idle} of {connections} were answered")));
            }
        }
        self.outcomes.iter().try_for_each(check)
    }

    fn ask(&mut self, outcome: Outcome) -> io::Result<()> {
        check(&outcome)?;
        match self.keep {
            Keep::Alive => self.exchanges.ask_again(outcome.key),
            Keep::Churn => self.exchanges.open(),
        }
    }
}

fn check(outcome: &Outcome) -> io::Result<()> {
    match outcome.answered {
        true => Ok(()),
        false => Err(io::Error::other("a connection was lost before it was answered")),
    }
}
