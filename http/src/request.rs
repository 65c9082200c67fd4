//! A request as a handler gets it.

use std::net::SocketAddr;
use std::ops::Deref;

use crate::body::RequestBody;
use crate::head::RequestHead;
use crate::parts::PartsBox;

/// A request: its head, its path parameters, its body and where it came from.
///
/// It dereferences to its [`RequestHead`], for method, path, query and headers.
#[derive(Debug)]
pub struct Request {
    pub(crate) parts: PartsBox,
}

/// Where in the path the values of its parameters stand, in the order of the route's names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ParamSpans {
    spans: [(u16, u16); PARAMS_MAX],
}

/// Parameters in one route; a router refuses routes with more.
pub(crate) const PARAMS_MAX: usize = 6;

impl ParamSpans {
    pub(crate) fn set(&mut self, index: usize, start: usize, length: usize) {
        // Offsets into a head, which has less than 64 KiB.
        self.spans[index] = (start as u16, (start + length) as u16);
    }

    fn value(self, index: usize, path: &[u8]) -> Option<&str> {
        let (start, end) = self.spans[index];
        let value = path.get(usize::from(start)..usize::from(end))?;
        // A path was found to be ASCII when it was decoded.
        std::str::from_utf8(value).ok()
    }
}

impl Request {
    /// The value of a path parameter as it stands in the path, still percent-encoded; `None` if
    /// the route has no parameter of this name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let index = self.parts.route.as_ref()?.params.iter().position(|param| **param == *name)?;
        self.parts.params.value(index, self.parts.head.path_bytes())
    }

    /// The route that matched, as it was given to the router: `/delay/{duration}`.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.parts.route.as_ref().map(|route| &*route.pattern)
    }

    /// The address that the request came from.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.parts.peer
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.parts.head
    }

    /// The body, to be pulled.
    pub fn body_mut(&mut self) -> &mut RequestBody {
        &mut self.parts.body
    }

    /// The head and the body apart.
    #[must_use]
    pub fn into_parts(self) -> (RequestHead, RequestBody) {
        let parts = self.parts.into_parts();
        (parts.head, parts.body)
    }
}

impl Deref for Request {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.parts.head
    }
}
