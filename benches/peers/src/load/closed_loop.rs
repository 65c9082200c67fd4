//! A constant number of connections, each of which sends a request as soon as it has a response.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::exchanges::{End, Exchanges, Outcome};
use super::tls::TlsClient;

/// Connections without a response while the load is being set up: far below any backlog.
const OPENING_AT_ONCE: usize = 256;
/// How long the set-up may take.
const OPENING_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait for an event.
const TICK: Duration = Duration::from_millis(10);

/// What happens to a connection after its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It sends the next request.
    Alive,
    /// The server closes it, and a new one is opened.
    Churn,
}

impl Keep {
    fn end(self) -> End {
        match self {
            Self::Alive => End::Response,
            Self::Churn => End::Close,
        }
    }
}

/// A closed loop of requests to `/`.
pub struct ClosedLoop {
    exchanges: Exchanges,
    keep: Keep,
    outcomes: Vec<Outcome>,
}

impl ClosedLoop {
    /// Opens the connections. With [`Keep::Alive`], each is idle after one response on return.
    ///
    /// # Errors
    /// If a connection is refused or lost, or has no response in time.
    pub fn open(server: SocketAddr, connections: usize, keep: Keep) -> io::Result<Self> {
        Self::with(Exchanges::new(server, "/", keep.end())?, connections, keep)
    }

    /// Does the same over TLS.
    ///
    /// # Errors
    /// As [`ClosedLoop::open`], and if a handshake fails or is not as the client wants it.
    pub fn open_tls(
        server: SocketAddr,
        connections: usize,
        keep: Keep,
        client: TlsClient,
    ) -> io::Result<Self> {
        let exchanges = Exchanges::new(server, "/", keep.end())?.over_tls(client);
        Self::with(exchanges, connections, keep)
    }

    fn with(exchanges: Exchanges, connections: usize, keep: Keep) -> io::Result<Self> {
        let mut this = Self { exchanges, keep, outcomes: Vec::new() };
        match keep {
            Keep::Alive => this.open_idle(connections)?,
            Keep::Churn => (0..connections).try_for_each(|_| this.exchanges.open())?,
        }
        Ok(this)
    }

    /// Runs for that long, and returns the number of responses.
    ///
    /// # Errors
    /// If a response was not a 200.
    pub fn run(&mut self, time: Duration) -> io::Result<u64> {
        let mut responses = 0;
        for outcome in std::mem::take(&mut self.outcomes) {
            self.send_next(outcome)?;
        }
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            let mut outcomes = Vec::new();
            self.exchanges.wait(TICK, &mut outcomes)?;
            for outcome in outcomes {
                responses += 1;
                self.send_next(outcome)?;
            }
        }
        Ok(responses)
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
                return Err(io::Error::other(format!(
                    "{idle} of {connections} connections had a response"
                )));
            }
        }
        self.outcomes.iter().try_for_each(check)
    }

    fn send_next(&mut self, outcome: Outcome) -> io::Result<()> {
        check(&outcome)?;
        match self.keep {
            Keep::Alive => self.exchanges.send_again(outcome.key),
            Keep::Churn => self.exchanges.open(),
        }
    }
}

fn check(outcome: &Outcome) -> io::Result<()> {
    match outcome.is_ok {
        true => Ok(()),
        false => Err(io::Error::other("a connection was lost, or its response was not a 200")),
    }
}
