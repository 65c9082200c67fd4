//! A request as a handler gets it.

use std::net::SocketAddr;
use std::ops::Deref;

use crate::message::extensions::Extensions;
use crate::message::parts::PartsBox;
use crate::message::presence::Disconnected;
use crate::message::request_body::RequestBody;
use crate::protocol::head::RequestHead;

/// A request: its head, its path parameters, its body and where it came from.
///
/// It dereferences to its [`RequestHead`], for method, path, query and headers.
#[derive(Debug)]
pub struct Request {
    pub(crate) parts: PartsBox,
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

    /// A future that is ready when the client has gone: for handlers of a route that runs to its
    /// end ([`MethodRouter::detach_on_disconnect`](crate::MethodRouter::detach_on_disconnect)) and would rather not, or not
    /// with all of it.
    ///
    /// It is ready as well when the request has been answered and when the connection was ended
    /// by us, so nobody awaits it for ever. A client that only closes its sending side counts as
    /// gone, since that cannot be told apart. While the client has not sent all of its body, and
    /// the handler does not read it, nothing is noticed.
    ///
    /// Of a route that does not run to its end the handler is dropped when the client goes, and
    /// this future is never ready.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use std::future::pending;
    /// use std::rc::Rc;
    ///
    /// use brigade_http::{Request, Router, post};
    ///
    /// async fn work(request: Request) -> String {
    ///     let is_alone = Rc::new(Cell::new(false));
    ///     let (disconnected, noted) = (request.disconnected(), is_alone.clone());
    ///     brigade_runtime::spawn(async move {
    ///         disconnected.await;
    ///         noted.set(true);
    ///     })
    ///     .detach();
    ///     let mut steps = 0;
    ///     while steps < 100 && !is_alone.get() {
    ///         brigade_runtime::task::yield_now().await;
    ///         steps += 1;
    ///     }
    ///     format!("{steps} steps done")
    /// }
    ///
    /// let router = Router::new().route("/work", post(work).detach_on_disconnect());
    /// ```
    pub fn disconnected(&self) -> Disconnected {
        let detaches_on_disconnect =
            self.parts.route.as_ref().is_some_and(|route| route.options.detaches_on_disconnect);
        Disconnected::new(self.parts.body.presence().filter(|_| detaches_on_disconnect))
    }

    /// Returns the values that were attached to the request, by middleware for instance.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// Returns the values that were attached to the request, for attaching more.
    #[must_use]
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.parts.extensions
    }
}

impl Deref for Request {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.parts.head
    }
}
