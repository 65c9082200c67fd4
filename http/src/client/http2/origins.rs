//! The servers that may speak HTTP/2, and the connections to them: one for each server.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use brigade_runtime::local::Notify;

use crate::client::http2::connection::Connection;

/// How many servers are remembered. One that is forgotten costs its next requests a wait: they
/// connect one after the other until it is known what the server speaks.
const ORIGINS_MAX: usize = 1024;

/// The servers by scheme, host and port.
#[derive(Default)]
pub(in crate::client) struct Origins {
    known: RefCell<HashMap<Rc<str>, Rc<Origin>>>,
}

/// A server.
pub(super) struct Origin {
    connection: RefCell<Option<Rc<Connection>>>,
    /// The server has chosen HTTP/1.1 the last time, so requests need not wait for each other.
    pub(super) speaks_http1: Cell<bool>,
    /// A connection is being opened, for all requests.
    is_opening: Cell<bool>,
    /// Wakes the requests that wait for it.
    pub(super) opened: Notify,
}

/// A connection to a server is being opened. Dropped when that has succeeded or failed.
pub(super) struct Opening(Rc<Origin>);

impl Origins {
    /// Returns the server with this key.
    pub(super) fn get(&self, key: &Rc<str>) -> Rc<Origin> {
        // Dropped after the borrow has ended, with connections.
        let mut forgotten = Vec::new();
        let mut known = self.known.borrow_mut();
        if let Some(origin) = known.get(key) {
            return origin.clone();
        }
        if known.len() >= ORIGINS_MAX {
            let unused = known
                .extract_if(|_, origin| Rc::strong_count(origin) == 1 && !origin.is_connected());
            forgotten.extend(unused);
        }
        let origin = Rc::new(Origin {
            connection: RefCell::default(),
            speaks_http1: Cell::new(false),
            is_opening: Cell::new(false),
            opened: Notify::new(),
        });
        known.insert(key.clone(), origin.clone());
        origin
    }

    /// Returns how many connections have no requests.
    pub(in crate::client) fn idle_count(&self) -> usize {
        self.known.borrow().values().filter(|origin| origin.idle().is_some()).count()
    }

    /// Returns how many connections there are at most.
    pub(in crate::client) fn count_max(&self) -> usize {
        self.known.borrow().len()
    }

    /// Closes the connection that has had no requests for longest. Returns `false` if each has had
    /// some since then.
    pub(in crate::client) fn close_oldest(&self, since: Option<Instant>) -> bool {
        let known = self.known.borrow();
        let idle = known.values().filter_map(|origin| origin.idle());
        let oldest = idle.min_by_key(|connection| connection.idle_since());
        drop(known);
        let is_older = |connection: &Rc<Connection>| {
            since.is_none_or(|since| connection.idle_since() <= since)
        };
        oldest.filter(is_older).inspect(|connection| connection.retire()).is_some()
    }

    /// Closes the connections that have no requests.
    pub(in crate::client) fn close_idle(&self) {
        let idle: Vec<_> = self.known.borrow().values().filter_map(|known| known.idle()).collect();
        idle.iter().for_each(|connection| connection.retire());
    }
}

impl Origin {
    /// Returns the connection, if requests can be begun on it.
    pub(super) fn connection(&self) -> Option<Rc<Connection>> {
        let connection = self.connection.borrow().clone()?;
        if connection.is_usable() {
            return Some(connection);
        }
        // Bound to a name, so that it is dropped after the borrow has ended.
        let _ended = self.connection.take();
        None
    }

    /// Entitles to open a connection. `None` while one is being opened.
    pub(super) fn begin_opening(this: &Rc<Self>) -> Option<Opening> {
        (!this.is_opening.replace(true)).then(|| Opening(this.clone()))
    }

    /// Returns `true` if there is a connection on which requests can be begun.
    fn is_connected(&self) -> bool {
        self.connection.borrow().as_ref().is_some_and(|connection| connection.is_usable())
    }

    /// Keeps a new connection. The one that may be there gets no more requests.
    pub(super) fn keep(&self, connection: Rc<Connection>) {
        self.speaks_http1.set(false);
        if let Some(before) = self.connection.replace(Some(connection)) {
            before.retire();
        }
    }

    fn idle(&self) -> Option<Rc<Connection>> {
        let is_idle = |connection: &&Rc<Connection>| connection.is_idle();
        self.connection.borrow().as_ref().filter(is_idle).cloned()
    }
}

impl Opening {
    pub(super) fn origin(&self) -> &Origin {
        &self.0
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.is_opening.set(false);
        self.0.opened.notify_waiters();
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        // The client is gone, and so are its requests.
        for origin in self.known.get_mut().values() {
            if let Some(connection) = origin.connection.take() {
                connection.retire();
            }
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins").field("known", &self.known.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_forgotten_beyond_a_limit_unless_they_are_in_use() {
        let origins = Origins::default();
        let key = |number: usize| Rc::from(format!("https://{number}:443"));
        let used = origins.get(&key(0));
        let unused = Rc::downgrade(&origins.get(&key(1)));
        (2..ORIGINS_MAX).for_each(|number| drop(origins.get(&key(number))));
        assert!(unused.upgrade().is_some());
        origins.get(&key(ORIGINS_MAX));
        assert!(unused.upgrade().is_none());
        assert!(Rc::ptr_eq(&used, &origins.get(&key(0))));
        assert!(origins.known.borrow().len() <= ORIGINS_MAX);
    }

    #[test]
    fn servers_whose_connection_has_ended_are_forgotten_beyond_a_limit() {
        let origins = Origins::default();
        for number in 0..3 * ORIGINS_MAX {
            let origin = origins.get(&Rc::from(format!("https://{number}:443")));
            origin.keep(Rc::new(Connection::ended()));
        }
        assert!(origins.known.borrow().len() <= ORIGINS_MAX);
    }
}
