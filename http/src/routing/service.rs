//! A router in use: from a request to the answer of its handler.

use std::fmt;
use std::rc::Rc;

use http::Method;

use crate::message::params::ParamSpans;
use crate::message::pipe::Pipe;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::message::route::Route;
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::protocol::head::RequestHead;
use crate::protocol::limits::BODY_BYTES_MAX;
use crate::routing::handler::{Endpoint, Running};
use crate::routing::literals::Literals;

/// A router in use, made by [`Router::into_service`](crate::Router::into_service): it answers
/// requests that were [built](crate::Request::builder) and came from no connection.
///
/// A server has one on each loop. Tests have one without a server and without sockets.
///
/// # Examples
/// ```
/// use brigade_http::{BoxError, Method, Request, Router, StatusCode, get};
///
/// async fn greet(request: Request) -> String {
///     format!("Hello, {}!", request.param("name").unwrap_or("world"))
/// }
///
/// fn app() -> Router {
///     Router::new().route("/greet/{name}", get(greet))
/// }
///
/// # /*
/// #[test]
/// # */
/// fn it_greets_by_name() -> Result<(), BoxError> {
///     brigade_runtime::run(async {
///         let service = app().into_service();
///         let request = Request::builder(Method::GET, "/greet/Ada").build()?;
///         let response = service.call(request).await;
///         assert_eq!(response.status, StatusCode::OK);
///         assert_eq!(response.body.collect(1024).await?, "Hello, Ada!");
///         Ok(())
///     })
/// }
/// # it_greets_by_name().unwrap();
/// ```
pub struct Service {
    /// The paths that have no parameter.
    pub(crate) literals: Literals<PathEntry>,
    /// Those that have one.
    pub(crate) patterns: matchit::Router<PathEntry>,
    pub(crate) fallback: Rc<dyn Endpoint>,
    /// Answers `OPTIONS *`, which is about the server and no path of it.
    pub(crate) asterisk: Rc<dyn Endpoint>,
}

pub(crate) struct PathEntry {
    pub(crate) route: Rc<Route>,
    pub(crate) handlers: Vec<(Method, Rc<dyn Endpoint>)>,
    pub(crate) other: Other,
}

/// Who answers a method that has no handler of its own.
pub(crate) enum Other {
    Any(Rc<dyn Endpoint>),
    /// 204 to OPTIONS and 405 to the rest, both with `Allow`.
    Refuse {
        options: Rc<dyn Endpoint>,
        rest: Rc<dyn Endpoint>,
    },
}

/// Where a request goes.
pub(crate) struct Found<'a> {
    endpoint: &'a Rc<dyn Endpoint>,
    pub(crate) route: Option<&'a Rc<Route>>,
    params: ParamSpans,
}

impl Service {
    /// Answers `request`: by the handler of its path and method, within its layers, or with 404
    /// or 405, as in a server. Dropping the future cancels the handler, also one that
    /// [runs to its end](crate::MethodRouter::detach_on_disconnect).
    ///
    /// As in a server a body of more bytes than its route allows, or else
    /// [`BODY_BYTES_MAX`](crate::protocol::limits::BODY_BYTES_MAX), is answered with 413 at once.
    ///
    /// What a connection makes of an answer is not done here: no header is added, the answer to
    /// `HEAD` has its body still, one that cannot be sent is not replaced by a 500, and nothing
    /// is logged. Nor is a panic of the handler caught.
    ///
    /// # Panics
    /// If the handler does, now or when the future is polled.
    pub fn call(&self, mut request: Request) -> impl Future<Output = Response> + use<> {
        let found = self.find(&request);
        let options = found.route.map(|route| route.options).unwrap_or_default();
        let limit = options.body_bytes_max.unwrap_or(BODY_BYTES_MAX);
        let presence = options.detaches_on_disconnect.then(|| Leaves(request.body_mut().pipe()));
        let running = match request.framing() {
            Framing::Length(length) if length > limit => Err(ProtocolError::BodyTooLarge),
            _ => Ok(found.call(request)),
        };
        async move {
            let _presence = presence;
            match running {
                Ok(running) => running.await,
                Err(error) => error.into_response(),
            }
        }
    }

    pub(crate) fn find(&self, head: &RequestHead) -> Found<'_> {
        match self.literals.find(head.path_bytes()) {
            Some(entry) => entry.found(head.method(), ParamSpans::default()),
            None => self.find_pattern(head),
        }
    }

    fn find_pattern(&self, head: &RequestHead) -> Found<'_> {
        let path = head.path();
        match self.patterns.at(path) {
            Ok(found) => {
                let mut params = ParamSpans::default();
                for (index, (_, value)) in found.params.iter().enumerate() {
                    let start = value.as_ptr() as usize - path.as_ptr() as usize;
                    params.set(index, start, value.len());
                }
                found.value.found(head.method(), params)
            }
            Err(_) => {
                let endpoint = if path == "*" { &self.asterisk } else { &self.fallback };
                Found { endpoint, route: None, params: ParamSpans::default() }
            }
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl PathEntry {
    fn found(&self, method: &Method, params: ParamSpans) -> Found<'_> {
        Found { endpoint: self.endpoint(method), route: Some(&self.route), params }
    }

    fn endpoint(&self, method: &Method) -> &Rc<dyn Endpoint> {
        let of = |wanted: &Method| {
            let handler = self.handlers.iter().find(|(known, _)| known == wanted);
            handler.map(|(_, endpoint)| endpoint)
        };
        let found = of(method).or_else(|| match &self.other {
            Other::Refuse { .. } if *method == Method::HEAD => of(&Method::GET),
            _ => None,
        });
        found.unwrap_or(match &self.other {
            Other::Any(any) => any,
            Other::Refuse { options, .. } if *method == Method::OPTIONS => options,
            Other::Refuse { rest, .. } => rest,
        })
    }
}

impl Found<'_> {
    /// Tells the request what matched it, and begins the answer.
    #[inline]
    pub(crate) fn call(self, mut request: Request) -> Running {
        request.parts.route = self.route.cloned();
        request.parts.params = self.params;
        self.endpoint.call(request)
    }
}

/// Tells those who asked for it that the request is over, when dropped.
struct Leaves(Rc<Pipe>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.leave();
    }
}
