//! Signals of the process, received on a loop.

use std::fmt;
use std::io;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::net::UnixStream;

/// The kind of a signal, see signal(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalKind {
    /// SIGINT: sent by Ctrl-C at the terminal.
    Interrupt,
    /// SIGTERM: asks the process to terminate.
    Terminate,
    /// SIGHUP: the terminal was closed. Servers often read their configuration again.
    Hangup,
    /// SIGQUIT: sent by Ctrl-\ at the terminal.
    Quit,
    /// SIGUSR1: its meaning is up to the program.
    UserDefined1,
    /// SIGUSR2: its meaning is up to the program.
    UserDefined2,
}

impl SignalKind {
    fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
            Self::Hangup => SIGHUP,
            Self::Quit => SIGQUIT,
            Self::UserDefined1 => SIGUSR1,
            Self::UserDefined2 => SIGUSR2,
        }
    }
}

/// A listener for one or more kinds of signals.
///
/// Several listeners may listen for the same kind, and each of them receives the signal. Once there
/// was a listener for a kind, the signal's default action (signal(7)), such as ending the process,
/// is not taken any more, even after the listener was dropped.
pub struct Signals {
    receivers: Vec<(SignalKind, SigId, UnixStream)>,
}

impl Signals {
    /// Starts to listen for `kinds`.
    ///
    /// # Errors
    /// Those of sigaction(2), and of socketpair(2), such as too many open files.
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
    ///     println!("shutting down because of {:?}", signals.recv().await.unwrap());
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

    /// Waits for the next signal. Signals of one kind that arrive before this is called may be
    /// received as one, which is also what the system does (signal(7)).
    ///
    /// # Errors
    /// Those of recv(2) on the socket that carries the signals to the loop.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no signal was received.
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
