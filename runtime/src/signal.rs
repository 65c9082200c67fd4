//! Signals of the process, delivered to a loop.

use std::fmt;
use std::io;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::net::UnixStream;

/// Which signal, see signal(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalKind {
    /// SIGINT: Ctrl-C at the terminal.
    Interrupt,
    /// SIGTERM: the polite request to end.
    Terminate,
    /// SIGHUP: the terminal has gone; for servers, often "read the configuration again".
    Hangup,
    /// SIGQUIT: Ctrl-\ at the terminal.
    Quit,
    /// SIGUSR1: whatever the program makes of it.
    User1,
    /// SIGUSR2: whatever the program makes of it.
    User2,
}

impl SignalKind {
    fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
            Self::Hangup => SIGHUP,
            Self::Quit => SIGQUIT,
            Self::User1 => SIGUSR1,
            Self::User2 => SIGUSR2,
        }
    }
}

/// Receives signals of one or more kinds. While it lives they do not do what they do by default.
/// Any number may listen for the same kind; each receives it.
pub struct Signals {
    receivers: Vec<(SignalKind, SigId, UnixStream)>,
}

impl Signals {
    /// Listens for `kinds` from now on.
    ///
    /// # Errors
    /// If the handler cannot be installed, or no descriptor is left for its pipe.
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_runtime::signal::{SignalKind, Signals};
    ///
    /// brigade_runtime::run(async {
    ///     let signals = Signals::new([SignalKind::Interrupt, SignalKind::Terminate]).unwrap();
    ///     println!("ending because of {:?}", signals.recv().await.unwrap());
    /// });
    /// ```
    pub fn new(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Self> {
        let mut signals = Self { receivers: Vec::new() };
        for kind in kinds {
            let (receiver, sender) = std::os::unix::net::UnixStream::pair()?;
            sender.set_nonblocking(true)?;
            let receiver = UnixStream::from_std(receiver)?;
            let id = signal_hook::low_level::pipe::register(kind.number(), sender)?;
            signals.receivers.push((kind, id, receiver));
        }
        Ok(signals)
    }

    /// Waits for the next signal. Several of one kind that come before this is asked are received
    /// as one, as the system does too. Cancellation safe.
    ///
    /// # Errors
    /// If the pipe that carries the signal fails.
    pub async fn recv(&self) -> io::Result<SignalKind> {
        std::future::poll_fn(|cx| {
            for (kind, _, receiver) in &self.receivers {
                let read = futures_io::AsyncRead::poll_read(
                    std::pin::Pin::new(&mut &*receiver),
                    cx,
                    &mut [0; 64],
                );
                if let std::task::Poll::Ready(read) = read {
                    return std::task::Poll::Ready(read.map(|_| *kind));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (_, id, _) in &self.receivers {
            signal_hook::low_level::unregister(*id);
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.receivers.iter().map(|(kind, ..)| kind)).finish()
    }
}
