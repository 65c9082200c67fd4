//! The servers that may speak HTTP/2, and the connections to them: one for each server.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use brigade_runtime::local::Semaphore;

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
    /// Entitles to connect, while it is not known what the server speaks, or it speaks HTTP/2.
    pub(super) turn: Semaphore,
}

impl Origins {
    /// Returns the server with this key.
    pub(super) fn get(&self, key: &Rc<str>) -> Rc<Origin> {
        let mut known = self.known.borrow_mut();
        if let Some(origin) = known.get(key) {
            return origin.clone();
        }
        let mut forgotten = Vec::new();
        if known.len() >= ORIGINS_MAX {
            let unused = known.extract_if(|_, origin| {
                Rc::strong_count(origin) == 1 && origin.connection.borrow().is_none()
            });
            forgotten.extend(unused);
        }
        let origin = Rc::new(Origin {
            connection: RefCell::default(),
            speaks_http1: Cell::new(false),
            turn: Semaphore::new(1),
        });
        known.insert(key.clone(), origin.clone());
        origin
    }

    /// Returns how many connections have no requests.
    pub(in crate::client) fn idle_count(&self) -> usize {
        self.known.borrow().values().filter(|origin| origin.idle().is_some()).count()
    }

    /// Returns `true` if more connections than this have no requests.
    pub(super) fn exceed(&self, count_max: usize) -> bool {
        // Looked through only if it may be so.
        self.known.borrow().len() > count_max && self.idle_count() > count_max
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
}
