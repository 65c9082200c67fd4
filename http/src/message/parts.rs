//! What a request consists of, in a box that is used again.
//!
//! A request goes through many hands: the router, middleware, the handler's future, which keeps
//! an argument of an `async fn` twice. In a box all that moves is a pointer, and a handler that
//! waits holds the parts once. The boxes of requests that are over serve the next ones, so that
//! none is allocated while requests come and go.

use std::cell::RefCell;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::message::extensions::Extensions;
use crate::message::params::ParamSpans;
use crate::message::request_body::RequestBody;
use crate::message::route::Route;
use crate::protocol::head::RequestHead;

/// The parts of a request.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) head: RequestHead,
    pub(crate) body: RequestBody,
    pub(crate) peer: SocketAddr,
    /// Absent where no route matched.
    pub(crate) route: Option<Rc<Route>>,
    pub(crate) params: ParamSpans,
    pub(crate) extensions: Extensions,
}

impl Parts {
    fn new() -> Self {
        Self {
            head: RequestHead::empty(),
            body: RequestBody::new(None),
            peer: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            route: None,
            params: ParamSpans::default(),
            extensions: Extensions::default(),
        }
    }

    /// Drops what the request held. What is plain is left as it is: the next request overwrites it.
    /// Nor does its head go, unless it is large: the next one's host is compared with it.
    fn clear(&mut self) {
        if self.head.fields.capacity() > HEAD_BYTES_KEPT_MAX {
            self.head = RequestHead::empty();
        }
        self.head.fields.forget_map();
        self.body = RequestBody::new(None);
        self.route = None;
        self.extensions.clear();
    }
}

/// Memory for a head that is kept with a box; most heads have less.
const HEAD_BYTES_KEPT_MAX: usize = 2048;

/// Empty boxes that a thread keeps; what a burst of waiting requests needed beyond is given back.
const SPARE_BOXES_MAX: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    static SPARE: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

/// A box with the parts of one request, or for them.
pub(crate) struct PartsBox {
    /// Absent only once `into_parts` has taken it.
    parts: Option<Box<Parts>>,
}

const PRESENT: &str = "the parts are there until they are taken, and then so is the request";

impl PartsBox {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        Self { parts: Some(spare.unwrap_or_else(|| Box::new(Parts::new()))) }
    }

    pub(crate) fn into_parts(mut self) -> Parts {
        *self.parts.take().expect(PRESENT)
    }
}

impl Deref for PartsBox {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        self.parts.as_deref().expect(PRESENT)
    }
}

impl DerefMut for PartsBox {
    fn deref_mut(&mut self) -> &mut Parts {
        self.parts.as_deref_mut().expect(PRESENT)
    }
}

impl Drop for PartsBox {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        // Emptied before the list is borrowed: what is attached to a request may be anything.
        parts.clear();
        // A thread past its destructors keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_BOXES_MAX {
                spare.push(parts);
            }
        });
    }
}

impl fmt::Debug for PartsBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Parts::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::error::ProtocolError;
    use crate::protocol::limits::Limits;
    use crate::protocol::server_connection::{RequestEvent, ServerConnection};

    #[test]
    fn a_head_that_was_too_large_to_be_kept_leaves_no_host_behind() {
        let read = |head: String| {
            let mut request = PartsBox::new();
            let mut connection = ServerConnection::new();
            let limits = Limits::default();
            match connection.receive_head(head.as_bytes(), &mut request.head, &limits) {
                Ok(RequestEvent::Head) => None,
                Ok(event) => panic!("the head is complete: {event:?}"),
                Err(error) => Some(error),
            }
        };
        for long in [10, HEAD_BYTES_KEPT_MAX] {
            for (host, error) in [
                ("a", None),
                ("", Some(ProtocolError::HostInvalid)),
                (" ", Some(ProtocolError::HostInvalid)),
                ("a,", Some(ProtocolError::HostInvalid)),
            ] {
                let filler = "x".repeat(long);
                let before = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {filler}\r\n\r\n");
                assert_eq!(read(before), None);
                let head = format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n");
                assert_eq!(read(head), error, "{host:?} after {long} bytes");
            }
        }
    }

    #[test]
    fn the_memory_of_a_head_serves_the_next_one_unless_it_is_large() {
        let capacity_after = |head: &[u8]| {
            PartsBox::new().head.fields.fill(head, 0);
            PartsBox::new().head.fields.capacity()
        };
        assert_eq!(capacity_after(&[b'a'; 100]), 100);
        assert_eq!(capacity_after(&[b'a'; HEAD_BYTES_KEPT_MAX]), HEAD_BYTES_KEPT_MAX);
        assert_eq!(capacity_after(&[b'a'; HEAD_BYTES_KEPT_MAX + 1]), 0);
    }
}
