//! Accepts from several listeners in turn, and waits where accept(2) fails again and again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::net::any_socket::AnySocket;
use crate::net::{Listener, PeerAddr};
use crate::server::exhaustion::{Exhaustion, is_exhaustion};
use crate::time::{Sleep, sleep};

/// After this many errors in a row, a listener rests.
const FAILURES_MAX: u32 = 8;

/// How long a listener rests that has failed too often, before it is tried again.
const REST: Duration = Duration::from_millis(100);

/// Accepts from several listeners in turn. Errors of accept(2) end nothing:
///
/// - If descriptors have run out, accepting pauses altogether, see [`Exhaustion`].
/// - A listener that fails for another reason again and again, because it was shut down for
///   instance, is left alone for a while. The others are not affected.
#[derive(Debug, Default)]
pub(crate) struct AcceptState {
    /// The listener that is tried first the next time.
    next: usize,
    /// What is known of each listener, by its index.
    listeners: Vec<ListenerState>,
    /// Set while listeners rest.
    rest: Option<Sleep>,
    /// Set while accepting pauses because descriptors have run out.
    pause: Option<Sleep>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ListenerState {
    /// Errors in a row that did not concern a single connection.
    failures: u32,
    is_resting: bool,
}

impl AcceptState {
    /// Ready with the next connection, or with `None` after an error. Calls `on_exhausted` if
    /// descriptors have run out: idle connections should be closed then.
    ///
    /// It must be called with the same listeners each time.
    pub(crate) fn poll_accept(
        &mut self,
        listeners: &[impl Listener],
        exhaustion: &mut Exhaustion,
        cx: &mut Context<'_>,
        on_exhausted: impl FnOnce(),
    ) -> Poll<Option<(AnySocket, PeerAddr)>> {
        if let Some(pause) = &mut self.pause {
            ready!(Pin::new(pause).poll(cx));
            self.pause = None;
        }
        self.listeners.resize(listeners.len(), ListenerState::default());
        self.end_rest(cx);
        let (index, accepted) = ready!(self.poll_listeners(listeners, cx));
        match accepted {
            Ok(connection) => {
                exhaustion.reset();
                self.listeners[index].failures = 0;
                Poll::Ready(Some(connection))
            }
            Err(error) => {
                if is_exhaustion(&error) {
                    self.pause = Some(sleep(exhaustion.pause(&listeners[index], &error)));
                    on_exhausted();
                } else {
                    self.record_failure(index, &error);
                }
                Poll::Ready(None)
            }
        }
    }

    /// Ready with the next connection or error, and the index of its listener. Listeners take
    /// turns, so that a busy one does not shut out the others.
    fn poll_listeners(
        &mut self,
        listeners: &[impl Listener],
        cx: &mut Context<'_>,
    ) -> Poll<(usize, io::Result<(AnySocket, PeerAddr)>)> {
        let count = listeners.len();
        for index in (self.next..count).chain(0..self.next.min(count)) {
            if self.listeners[index].is_resting {
                continue;
            }
            if let Poll::Ready(accepted) = listeners[index].poll_accept_any(cx) {
                self.next = index + 1;
                return Poll::Ready((index, accepted));
            }
        }
        Poll::Pending
    }

    fn record_failure(&mut self, index: usize, error: &io::Error) {
        tracing::debug!(target: "brigade", %error, "connection not accepted");
        // The peer was gone before its connection was accepted. The next accept is for another one.
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        let listener = &mut self.listeners[index];
        listener.failures = listener.failures.saturating_add(1);
        if listener.failures == FAILURES_MAX {
            tracing::warn!(target: "brigade", %error, retry_after = ?REST, "listener fails");
        }
        if listener.failures >= FAILURES_MAX {
            listener.is_resting = true;
            self.rest.get_or_insert_with(|| sleep(REST));
        }
    }

    /// Ends the rest of all listeners if it is over. Otherwise it will wake the task.
    fn end_rest(&mut self, cx: &mut Context<'_>) {
        let Some(rest) = &mut self.rest else { return };
        if Pin::new(rest).poll(cx).is_ready() {
            self.rest = None;
            self.listeners.iter_mut().for_each(|listener| listener.is_resting = false);
        }
    }
}

/// Accepts a connection from the backlog of `listener`, during a shutdown. Returns `None` if none
/// waits, or none can be accepted.
///
/// Each attempt is taken from `left`, so neither an endless stream of newcomers nor a listener that
/// fails delays the shutdown.
pub(crate) fn accept_last(
    listener: &impl Listener,
    left: &mut u32,
) -> Option<(AnySocket, PeerAddr)> {
    while *left > 0 {
        *left -= 1;
        match listener.try_accept_any() {
            Ok(connection) => return Some(connection),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if is_exhaustion(&error) => break,
            Err(_) => {}
        }
    }
    None
}

#[cfg(all(test, not(brigade_loom)))]
mod tests {
    use std::future::poll_fn;
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;

    use super::*;
    use crate::net::TcpListener;
    use crate::server::logged::logged;
    use crate::{EventLoop, run};

    #[test]
    fn listeners_take_turns() {
        run(async {
            let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let addresses = listeners.each_ref().map(|one| one.local_addr().unwrap());
            let connect = |address: &SocketAddr| TcpStream::connect(address).unwrap();
            let _clients: Vec<_> = addresses.iter().chain(&addresses).map(connect).collect();
            let (mut state, mut exhaustion) =
                (AcceptState::default(), Exhaustion::new(Arc::default()));
            let mut accepted = Vec::new();
            for _ in 0..4 {
                let connection =
                    poll_fn(|cx| state.poll_accept(&listeners, &mut exhaustion, cx, || ())).await;
                let socket = connection.unwrap().0;
                accepted.push(socket2::SockRef::from(&socket).local_addr().unwrap());
            }
            let accepted: Vec<_> =
                accepted.iter().filter_map(socket2::SockAddr::as_socket).collect();
            assert_eq!(accepted, [addresses, addresses].concat());
        });
    }

    /// Ends the rest of all listeners, if it is over.
    async fn end_rest(state: &mut AcceptState) {
        poll_fn(|cx| {
            state.end_rest(cx);
            Poll::Ready(())
        })
        .await;
    }

    #[test]
    fn a_listener_that_fails_eight_times_in_a_row_rests_and_this_is_logged_once() {
        let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
        let lines = logged(|| {
            event_loop.run_until_complete(async {
                let listeners = vec![ListenerState::default(); 2];
                let mut state = AcceptState { listeners, ..AcceptState::default() };
                let error = io::Error::from_raw_os_error(22);
                for _ in 0..FAILURES_MAX - 1 {
                    state.record_failure(1, &error);
                    state.record_failure(1, &io::ErrorKind::ConnectionAborted.into());
                }
                let resting = |state: &AcceptState| -> Vec<_> {
                    state.listeners.iter().map(|listener| listener.is_resting).collect()
                };
                assert_eq!(resting(&state), [false, false]);
                for _ in 0..3 {
                    state.record_failure(1, &error);
                }
                end_rest(&mut state).await;
                assert_eq!(resting(&state), [false, true]);
                sleep(REST).await;
                end_rest(&mut state).await;
                assert_eq!(resting(&state), [false, false]);
            });
        });
        assert_eq!(lines.iter().filter(|line| *line == "WARN listener fails").count(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_last_attempts_to_accept_end_when_none_waits_and_are_limited_when_accept_fails() {
        run(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let duplicate = listener.try_clone().unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut left = 10;
            assert!(accept_last(&listener, &mut left).is_some());
            assert!(accept_last(&listener, &mut left).is_none());
            assert_eq!(left, 8);
            socket2::SockRef::from(&duplicate).shutdown(std::net::Shutdown::Both).unwrap();
            assert!(accept_last(&listener, &mut left).is_none());
            assert_eq!(left, 0);
        });
    }
}
