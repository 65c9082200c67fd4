//! The parts of a request, in a box that is reused.
//!
//! A request is moved many times: through the router, middleware and the future of the handler, in
//! which an `async fn` keeps its argument twice. With a box only a pointer moves, and a waiting
//! handler holds the parts once. Each thread keeps the boxes of finished requests for the next
//! ones, so that a request usually allocates none.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use brigade_runtime::net::PeerAddr;

use crate::message::body::{Body, BodyKind};
use crate::message::extensions::Extensions;
use crate::message::params::ParamSpans;
use crate::message::pipe::Pipe;
use crate::message::route::Route;
use crate::protocol::head::RequestHead;

/// The parts of a request.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) head: RequestHead,
    pub(crate) body: Body,
    /// What reports that the client has disconnected. It stays if the body is replaced. `None` if
    /// the request has no body and nothing would report a disconnect.
    pub(crate) pipe: Option<Rc<Pipe>>,
    pub(crate) peer: PeerAddr,
    /// `None` if no route matched.
    pub(crate) route: Option<Rc<Route>>,
    pub(crate) params: ParamSpans,
    pub(crate) extensions: Extensions,
}

impl Parts {
    fn new() -> Self {
        Self {
            head: RequestHead::empty(),
            body: Body::empty(),
            pipe: None,
            peer: PeerAddr::Unix,
            route: None,
            params: ParamSpans::default(),
            extensions: Extensions::default(),
        }
    }

    /// Drops what the request held. Plain values stay until the next request overwrites them, and
    /// so does the memory of the head unless it is large.
    fn clear(&mut self) {
        self.head.fields.release(HEAD_BYTES_KEPT_MAX);
        // Most requests have neither, and comparing costs less than dropping.
        if !matches!(self.body.kind, BodyKind::Empty) {
            self.body = Body::empty();
        }
        if self.pipe.is_some() {
            self.pipe = None;
        }
        self.route = None;
        self.extensions.clear();
    }
}

/// Maximum size of a head's memory that is kept with a box. Most heads need less.
const HEAD_BYTES_KEPT_MAX: usize = 2048;

/// Maximum number of empty boxes that a thread keeps. Further ones are freed after a burst of
/// waiting requests.
const SPARE_BOXES_MAX: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "the list is there to keep the boxes")]
    static SPARE: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

/// A box for the parts of one request. Dropping it keeps the memory for another request.
pub(crate) struct PartsBox {
    /// `None` only after `into_parts`.
    parts: Option<Box<Parts>>,
}

const PRESENT: &str = "the parts are present until `into_parts`, which consumes the box";

impl PartsBox {
    /// Takes an empty box from the list of this thread, or allocates one.
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
        // Cleared before the list is borrowed, since dropping an extension may run any code.
        parts.clear();
        // Fails if the thread has destroyed its list already.
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

    #[test]
    fn the_memory_of_a_head_is_kept_unless_it_is_large() {
        let length_after = |head: &[u8]| {
            PartsBox::new().head.fields.fill(head, 0);
            PartsBox::new().head.bytes().len()
        };
        assert_eq!(length_after(&[b'a'; 100]), 100);
        assert_eq!(length_after(&[b'a'; HEAD_BYTES_KEPT_MAX]), HEAD_BYTES_KEPT_MAX);
        assert_eq!(length_after(&[b'a'; HEAD_BYTES_KEPT_MAX + 1]), 0);
    }
}
