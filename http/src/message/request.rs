//! The request that a handler receives.

use std::borrow::Cow;
use std::fmt::Display;
use std::mem;
use std::ops::Deref;
use std::rc::Rc;
use std::str::FromStr;

use brigade_runtime::net::PeerAddr;
use percent_encoding::percent_decode_str;

use crate::message::body::Body;
use crate::message::byte_stream::Encrypted;
use crate::message::extensions::Extensions;
use crate::message::param_error::{ParamError, Reason, parse};
use crate::message::parts::PartsBox;
use crate::message::presence::Disconnected;
use crate::message::states::States;
use crate::protocol::head::RequestHead;

/// A request: its head, its path parameters, its body and the address of the client.
///
/// It dereferences to its [`RequestHead`], which has the method, the path, the query and the
/// headers.
#[derive(Debug)]
pub struct Request {
    pub(crate) parts: PartsBox,
}

impl Request {
    /// Returns the value of a path parameter, percent-encoded as it is in the path, or `None` if
    /// the route has no parameter of this name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let index = self.parts.route.as_ref()?.params.iter().position(|param| **param == *name)?;
        self.parts.params.value(index, self.parts.head.path_bytes())
    }

    /// Returns the value of a path parameter, percent-decoded. It may contain any character,
    /// including slashes and NUL, so it must not be used as a file path.
    ///
    /// # Errors
    /// If the route has no parameter of this name, or the decoded value is not UTF-8.
    pub fn param_decoded(&self, name: &str) -> Result<Cow<'_, str>, ParamError> {
        let Some(value) = self.param(name) else {
            return Err(ParamError::new(name, Reason::Unknown));
        };
        let decoded = percent_decode_str(value).decode_utf8();
        decoded.map_err(|_| ParamError::new(name, Reason::NotUtf8))
    }

    /// Returns the value of a path parameter, percent-decoded and parsed.
    ///
    /// # Errors
    /// If the value is not UTF-8 or cannot be parsed, which as a response is a 400 with the reason.
    /// If the route has no parameter of this name, which is a 500.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{ParamError, Request, Router, get};
    ///
    /// async fn square(request: Request) -> Result<String, ParamError> {
    ///     let n: u32 = request.param_as("n")?;
    ///     Ok((u64::from(n) * u64::from(n)).to_string())
    /// }
    ///
    /// let router = Router::new().route("/square/{n}", get(square));
    /// ```
    pub fn param_as<T>(&self, name: &str) -> Result<T, ParamError>
    where
        T: FromStr,
        T::Err: Display,
    {
        parse(name, &self.param_decoded(name)?)
    }

    /// Returns the names of the path parameters, in the order of the route.
    #[cfg_attr(not(feature = "query"), expect(dead_code, reason = "only `Path` needs it"))]
    pub(crate) fn param_names(&self) -> impl Iterator<Item = &str> {
        self.parts.route.iter().flat_map(|route| route.params.iter().map(|name| &**name))
    }

    /// Returns the state of type `T` that the router has.
    pub(crate) fn state<T: 'static>(&self) -> Option<&T> {
        let states = match &self.parts.route {
            Some(route) => &route.states,
            None => self.extensions().get::<Rc<States>>()?,
        };
        states.get()
    }

    /// Returns the pattern of the route that matched, such as `/delay/{duration}`.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.parts.route.as_ref().map(|route| &*route.pattern)
    }

    /// Returns the address of the client, or of the last proxy in front of this server.
    #[must_use]
    pub fn peer_addr(&self) -> PeerAddr {
        self.parts.peer
    }

    /// Returns the scheme of the URL that was requested, as far as this server knows: `https` if
    /// the connection is encrypted, and otherwise `http`. A proxy in front may have been asked with
    /// another one.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.parts.extensions.get::<Encrypted>().is_some() { "https" } else { "http" }
    }

    /// Returns the head.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.parts.head
    }

    /// Returns the body, for reading it, or for replacing it.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.parts.body
    }

    /// Replaces the body. The head stays as the client sent it, with its `Content-Length`.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{BodyError, Next, Request, Response, StatusCode};
    ///
    /// /// Lets only bodies through whose signature is right.
    /// async fn check_signature(mut request: Request, next: Next) -> Result<Response, BodyError> {
    ///     let body = request.body_mut().collect(64 * 1024).await?;
    ///     if request.header("signature") != Some(&sign(&body)[..]) {
    ///         return Ok(Response::empty(StatusCode::FORBIDDEN));
    ///     }
    ///     Ok(next.run(request.with_body(body)).await)
    /// }
    ///
    /// fn sign(body: &[u8]) -> Vec<u8> {
    ///     body.len().to_string().into_bytes()
    /// }
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.parts.body = body.into();
        self
    }

    /// Replaces the body by what `map` makes of it. The head stays as the client sent it.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// use brigade_http::{Next, Request, Response};
    ///
    /// /// Counts the bytes of bodies while their handlers read them.
    /// async fn count(received: Rc<Cell<usize>>, request: Request, next: Next) -> Response {
    ///     let add = move |part: &[u8]| received.update(|bytes| bytes + part.len());
    ///     next.run(request.map_body(|body| body.inspect(add))).await
    /// }
    /// ```
    #[must_use]
    pub fn map_body(mut self, map: impl FnOnce(Body) -> Body) -> Self {
        self.parts.body = map(mem::take(&mut self.parts.body));
        self
    }

    /// Returns the body.
    #[must_use]
    pub fn into_body(mut self) -> Body {
        mem::take(&mut self.parts.body)
    }

    /// Splits the request into its head and its body.
    #[must_use]
    pub fn into_parts(self) -> (RequestHead, Body) {
        let parts = self.parts.into_parts();
        (parts.head, parts.body)
    }

    /// Returns a future that completes when the client has disconnected.
    ///
    /// It is for handlers of routes with
    /// [`detach_on_disconnect`](crate::MethodRouter::detach_on_disconnect), which may want to stop
    /// early. On other routes the handler is dropped on disconnect, and this future never
    /// completes.
    ///
    /// The future also completes when the response has been sent, and when the server closes the
    /// connection. A client that closes only its sending side counts as disconnected, unless the
    /// handler is just reading the body, whose rest may have arrived.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Request, Router, post};
    ///
    /// async fn work(request: Request) -> String {
    ///     let disconnected = request.disconnected();
    ///     let mut steps = 0;
    ///     while steps < 100 && !disconnected.is_ready() {
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
        let pipe = self.parts.pipe.as_ref().filter(|_| detaches_on_disconnect);
        Disconnected::new(pipe.map(|pipe| pipe.presence()))
    }

    /// Returns the values attached to the request, for instance by middleware.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// Returns the values attached to the request, mutably.
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
