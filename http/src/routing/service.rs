//! A router in use, which finds the handler of a request and calls it.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use http::Method;

use crate::message::params::ParamSpans;
use crate::message::pipe::Pipe;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::route::Route;
use crate::protocol::framing::Framing;
use crate::protocol::head::RequestHead;
use crate::protocol::limits::BODY_BYTES_MAX;
use crate::routing::endpoint::{Endpoint, Running};
use crate::routing::literals::Literals;
use crate::routing::path::{normal_path, offset_in_path};

/// A router in use, created by [`Router::into_service`](crate::Router::into_service).
///
/// A server has one on each loop. Tests can [call](Self::call) one with requests that they
/// [build](crate::Request::builder), without a server and without sockets.
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
///         let mut response = service.call(request).await;
///         assert_eq!(response.status, StatusCode::OK);
///         assert_eq!(response.body.collect(1024).await?, "Hello, Ada!");
///         Ok(())
///     })
/// }
/// # it_greets_by_name().unwrap();
/// ```
pub struct Service {
    /// The paths without parameters.
    pub(crate) literals: Literals<PathEntry>,
    /// The paths with parameters.
    pub(crate) patterns: matchit::Router<PathEntry>,
    /// Handle the requests below a prefix that no route matches.
    pub(crate) nested_fallbacks: matchit::Router<Rc<Fallback>>,
    /// Handles the other requests that no route matches.
    pub(crate) fallback: Fallback,
    /// Handles `OPTIONS *`, which is about the server and not about a path.
    pub(crate) asterisk: Fallback,
}

/// Handles requests that no route matches.
pub(crate) struct Fallback {
    pub(crate) endpoint: Rc<dyn Endpoint>,
    /// Handles those whose body is too large.
    pub(crate) body_too_large: Rc<dyn Endpoint>,
}

/// A path with its handlers.
pub(crate) struct PathEntry {
    pub(crate) handlers: Vec<(Method, Entry)>,
    pub(crate) other: OtherMethods,
}

/// A handler with its route.
pub(crate) struct Entry {
    pub(crate) route: Rc<Route>,
    pub(crate) endpoint: Rc<dyn Endpoint>,
    /// Handles requests whose body is too large, in place of the handler. It has the same layers.
    pub(crate) body_too_large: Rc<dyn Endpoint>,
}

/// How a path handles the methods that have no handler.
pub(crate) enum OtherMethods {
    /// By this handler.
    Any(Entry),
    /// With a 204 for OPTIONS and a 405 for the others, both with `Allow`.
    Refused { options: Entry, rest: Entry },
}

/// The endpoint for a request, and the route that matched.
pub(crate) struct RouteMatch<'a> {
    endpoint: &'a Rc<dyn Endpoint>,
    body_too_large: &'a Rc<dyn Endpoint>,
    /// `None` if no route matched.
    pub(crate) route: Option<&'a Rc<Route>>,
    params: ParamSpans,
}

impl Service {
    /// Handles `request` as a server does: by the handler of its path and method with all layers,
    /// or with a 404 or 405.
    ///
    /// A body that is longer than its route allows, or else than
    /// [`BODY_BYTES_MAX`](crate::limits::BODY_BYTES_MAX), gets a 413 at once, from the layers of
    /// the route. If its length is unknown, it ends with an error once it is longer.
    ///
    /// The response is as the handler returned it. What a connection does is left out: no header is
    /// added, the response to `HEAD` keeps its body, a response that cannot be sent is not replaced
    /// by a 500, and nothing is logged.
    ///
    /// # Panics
    /// If the handler panics.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the handler, even on a route with
    /// [`detach_on_disconnect`](crate::MethodRouter::detach_on_disconnect).
    pub fn call(&self, mut request: Request) -> impl Future<Output = Response> + use<> {
        let matched = self.find(&request);
        let options = matched.route.map(|route| route.options).unwrap_or_default();
        let limit = options.body_bytes_max.unwrap_or(BODY_BYTES_MAX);
        let disconnect = options.detaches_on_disconnect.then(|| {
            let pipe = request.parts.pipe.get_or_insert_with(|| Rc::new(Pipe::ended()));
            DisconnectOnDrop(pipe.clone())
        });
        let is_too_large = matches!(request.framing(), Framing::Length(length) if length > limit);
        // A connection limits what arrives on it. This is for a body from elsewhere.
        let request = request.map_body(|body| body.limited(limit));
        let running = matched.call(request, is_too_large);
        async move {
            let _disconnect = disconnect;
            running.await
        }
    }

    /// Finds the endpoint for a request.
    pub(crate) fn find(&self, head: &RequestHead) -> RouteMatch<'_> {
        match self.literals.find(head.path_bytes()) {
            Some(entry) => entry.matched(head.method(), ParamSpans::default()),
            None => self.find_pattern(head),
        }
    }

    fn find_pattern(&self, head: &RequestHead) -> RouteMatch<'_> {
        let path = head.path();
        let normal = normal_path(path);
        if let Cow::Owned(normal) = &normal
            && let Some(entry) = self.literals.find(normal.as_bytes())
        {
            return entry.matched(head.method(), ParamSpans::default());
        }
        match self.patterns.at(&normal) {
            Ok(matched) => {
                let mut params = ParamSpans::default();
                for (index, (_, value)) in matched.params.iter().enumerate() {
                    let start = value.as_ptr() as usize - normal.as_ptr() as usize;
                    let (start, end) = match normal {
                        Cow::Borrowed(_) => (start, start + value.len()),
                        Cow::Owned(_) => {
                            (offset_in_path(path, start), offset_in_path(path, start + value.len()))
                        }
                    };
                    params.set(index, start, end - start);
                }
                matched.value.matched(head.method(), params)
            }
            Err(_) if path == "*" => self.asterisk.matched(),
            Err(_) => match self.nested_fallbacks.at(&normal) {
                Ok(nested) => nested.value.matched(),
                Err(_) => self.fallback.matched(),
            },
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Fallback {
    fn matched(&self) -> RouteMatch<'_> {
        RouteMatch {
            endpoint: &self.endpoint,
            body_too_large: &self.body_too_large,
            route: None,
            params: ParamSpans::default(),
        }
    }
}

impl PathEntry {
    fn matched(&self, method: &Method, params: ParamSpans) -> RouteMatch<'_> {
        let Entry { route, endpoint, body_too_large } = self.entry(method);
        RouteMatch { endpoint, body_too_large, route: Some(route), params }
    }

    /// Returns the entry for `method`.
    fn entry(&self, method: &Method) -> &Entry {
        let handler_of = |wanted: &Method| {
            let handler = self.handlers.iter().find(|(known, _)| known == wanted);
            handler.map(|(_, entry)| entry)
        };
        let handler = handler_of(method).or_else(|| match &self.other {
            OtherMethods::Refused { .. } if *method == Method::HEAD => handler_of(&Method::GET),
            _ => None,
        });
        handler.unwrap_or(match &self.other {
            OtherMethods::Any(any) => any,
            OtherMethods::Refused { options, .. } if *method == Method::OPTIONS => options,
            OtherMethods::Refused { rest, .. } => rest,
        })
    }
}

impl RouteMatch<'_> {
    /// Records the route in the request and starts the handler. If the body is too large, a 413
    /// takes the place of the handler, so that the layers see it.
    #[inline]
    pub(crate) fn call(self, mut request: Request, is_body_too_large: bool) -> Running {
        request.parts.route = self.route.cloned();
        request.parts.params = self.params;
        match is_body_too_large {
            false => self.endpoint.call(request),
            true => self.body_too_large.call(request),
        }
    }
}

/// Completes [`Request::disconnected`] when it is dropped.
struct DisconnectOnDrop(Rc<Pipe>);

impl Drop for DisconnectOnDrop {
    fn drop(&mut self) {
        self.0.leave();
    }
}
