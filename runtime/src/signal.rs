//! Signals of the process, received on a loop.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::net::UnixStream;
use crate::sync::lock;

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
/// Several listeners may listen for the same kind, and each of them receives the signal. While
/// there is a listener for a kind, the signal's default action (signal(7)), such as ending the
/// process, is not taken. Once the last one was dropped, the signal acts again as it did before the
/// first: it takes its default action, or is ignored if the process was started that way, as
/// nohup(1) does with SIGHUP. If the program had a handler of its own before the first listener,
/// only that handler is left.
pub struct Signals {
    receivers: Vec<(Registration, UnixStream)>,
    /// The receiver that is tried first the next time.
    next: Cell<usize>,
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
        CaughtSignals::new(kinds)?.listen()
    }

    /// Waits for the next signal. Signals of one kind that arrive before this is called are
    /// received as one, which is also what the system does (signal(7)). If signals of several kinds
    /// have arrived, the kinds take turns.
    ///
    /// # Errors
    /// Those of recv(2) on the socket that carries the signals to the loop.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, no signal was received.
    pub async fn recv(&self) -> io::Result<SignalKind> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<SignalKind>> {
        let count = self.receivers.len();
        for offset in 0..count {
            let index = (self.next.get() + offset) % count;
            let (registration, receiver) = &self.receivers[index];
            if let Poll::Ready(read) = poll_read_all(receiver, cx) {
                self.next.set(index + 1);
                return Poll::Ready(read.map(|()| registration.kind));
            }
        }
        Poll::Pending
    }
}

/// Reads from `receiver` until it would block. Ready if there was at least one byte. A signal whose
/// byte finds no room in the socket is dropped, so a few reads empty it.
fn poll_read_all(receiver: &UnixStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    const READS_MAX: u32 = 16;
    let mut has_read = false;
    for _ in 0..READS_MAX {
        let mut receiver = receiver;
        let read = futures_io::AsyncRead::poll_read(Pin::new(&mut receiver), cx, &mut [0; 1024]);
        match read {
            Poll::Ready(Ok(1..)) => has_read = true,
            Poll::Ready(Err(error)) if !has_read => return Poll::Ready(Err(error)),
            // The other end is never closed while this one is open.
            Poll::Ready(_) | Poll::Pending => break,
        }
    }
    if has_read { Poll::Ready(Ok(())) } else { Poll::Pending }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.receivers.iter().map(|(registration, _)| registration.kind);
        f.debug_list().entries(kinds).finish()
    }
}

/// Signals that are caught already and that no loop receives yet. Made before there is a loop, so
/// that a signal that arrives meanwhile is not lost.
pub(crate) struct CaughtSignals(Vec<(Registration, StdUnixStream)>);

impl CaughtSignals {
    /// Catches `kinds` from now on.
    ///
    /// # Errors
    /// As for [`Signals::new`].
    pub(crate) fn new(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Self> {
        kinds.into_iter().map(Registration::new).collect::<io::Result<_>>().map(Self)
    }

    /// Receives the signals on this thread's loop.
    ///
    /// # Errors
    /// As for [`Signals::new`].
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    pub(crate) fn listen(self) -> io::Result<Signals> {
        let listen = |(registration, receiver)| Ok((registration, UnixStream::from_std(receiver)?));
        let receivers = self.0.into_iter().map(listen).collect::<io::Result<_>>()?;
        Ok(Signals { receivers, next: Cell::new(0) })
    }
}

/// Carries signals of one kind to a socket until dropped.
struct Registration {
    kind: SignalKind,
    id: SigId,
}

impl Registration {
    /// Returns the registration, and the socket that receives a byte for each signal.
    fn new(kind: SignalKind) -> io::Result<(Self, StdUnixStream)> {
        let (receiver, sender) = StdUnixStream::pair()?;
        sender.set_nonblocking(true)?;
        let mut default = DefaultAction::lock(kind);
        let takes_default_action = default.is_registered || takes_default_action(kind);
        let id = signal_hook::low_level::pipe::register(kind.number(), sender)?;
        let registration = Self { kind, id };
        default.listeners += 1;
        default.is_on.store(false, SeqCst);
        if takes_default_action && let Err(error) = default.register() {
            drop(default);
            drop(registration);
            return Err(error);
        }
        Ok((registration, receiver))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        DefaultAction::lock(self.kind).remove_listener();
        signal_hook::low_level::unregister(self.id);
    }
}

/// The default action of one kind of signal, taken while the process has no listener for it.
struct DefaultAction {
    kind: SignalKind,
    /// Read by the signal's handler.
    is_on: &'static AtomicBool,
    is_registered: bool,
    listeners: usize,
}

static DEFAULT_ACTIONS: [Mutex<DefaultAction>; 6] = {
    static IS_ON: [AtomicBool; 6] = [const { AtomicBool::new(false) }; 6];
    [
        DefaultAction::new(SignalKind::Interrupt, &IS_ON[0]),
        DefaultAction::new(SignalKind::Terminate, &IS_ON[1]),
        DefaultAction::new(SignalKind::Hangup, &IS_ON[2]),
        DefaultAction::new(SignalKind::Quit, &IS_ON[3]),
        DefaultAction::new(SignalKind::UserDefined1, &IS_ON[4]),
        DefaultAction::new(SignalKind::UserDefined2, &IS_ON[5]),
    ]
};

impl DefaultAction {
    const fn new(kind: SignalKind, is_on: &'static AtomicBool) -> Mutex<Self> {
        Mutex::new(Self { kind, is_on, is_registered: false, listeners: 0 })
    }

    fn lock(kind: SignalKind) -> std::sync::MutexGuard<'static, Self> {
        // In the order of the variants.
        let action = lock(&DEFAULT_ACTIONS[kind as usize]);
        debug_assert_eq!(action.kind, kind);
        action
    }

    /// Takes over the default action from the system, which drops it with the first handler.
    fn register(&mut self) -> io::Result<()> {
        if !self.is_registered {
            signal_hook::flag::register_conditional_default(self.kind.number(), self.is_on)?;
            self.is_registered = true;
        }
        Ok(())
    }

    fn remove_listener(&mut self) {
        self.listeners -= 1;
        if self.listeners == 0 {
            // Read only if the action is registered.
            self.is_on.store(true, SeqCst);
        }
    }
}

/// Returns `false` if the process ignores the signal or has a handler for it
/// (proc_pid_status(5)). On systems that cannot say, returns `true`.
fn takes_default_action(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let contains_signal = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (kind.number() - 1) & 1 == 1)
    };
    !contains_signal("SigIgn:") && !contains_signal("SigCgt:")
}
