//! Maps requests to handlers, by path and then by method.

use std::fmt;
use std::rc::Rc;

use http::StatusCode;

use crate::message::handler_error::HandlerError;
use crate::message::params::PARAMS_MAX;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::message::states::States;
use crate::protocol::error::ProtocolError;
use crate::protocol::head::RequestHead;
use crate::routing::endpoint::Next;
use crate::routing::handler::{BoxedHandler, Handler};
use crate::routing::layers::{Layer, error_endpoint, layer, layered, status_endpoint};
use crate::routing::literals::Literals;
use crate::routing::method_router::{MethodRouter, check_states};
use crate::routing::on_error::with_errors_made_by;
use crate::routing::path::normal_pattern;
use crate::routing::service::{Fallback, PathEntry, Service};

/// The routes of an application, each a path with the handlers of its methods.
///
/// Paths have parameters in braces: `{name}` for one segment, `{*rest}` for all following segments
/// (the syntax of matchit). If several routes match, the most literal one wins.
///
/// The other parts of a path are compared as RFC 3986 section 6.2.2 says: characters that are not
/// reserved match whether they are percent-encoded or not, in the route as well as in the request.
/// So the route `/café` matches the requests for `/caf%C3%A9`, and `/a%2Db` is the same as `/a-b`;
/// but `/a%2Fb` is not `/a/b`.
///
/// Each loop has its own router, created by the function that the server is given. So handlers can
/// share state in an `Rc` and need no lock.
///
/// # Examples
/// ```
/// use brigade_http::{Request, Router, get};
///
/// async fn greet(request: Request) -> String {
///     format!("Hello, {}!", request.param("name").unwrap_or("world"))
/// }
///
/// let router = Router::new()
///     .route("/", get(async || "home"))
///     .route("/greet/{name}", get(greet));
/// ```
#[derive(Default)]
pub struct Router {
    paths: Vec<Path>,
    fallback: Option<FallbackHandler>,
    /// The fallbacks of nested routers, each with its prefix.
    nested_fallbacks: Vec<(String, FallbackHandler)>,
    /// The layers of a 404 without a fallback, of a 413 without a route, and of `OPTIONS *`.
    layers: Vec<Layer>,
    states: States,
    /// Makes the responses to errors.
    on_error: Option<Layer>,
}

struct Path {
    /// As it was given.
    pattern: String,
    /// The pattern in normal form.
    normal: String,
    methods: MethodRouter,
    /// Handles the path without its slash, if this is the root of a router that is nested. `None`
    /// for the handlers of the root.
    without_slash: Option<MethodRouter>,
    /// The states of the nested router that the path comes from.
    states: States,
}

#[derive(Clone)]
struct FallbackHandler {
    handler: BoxedHandler,
    layers: Vec<Layer>,
    states: States,
}

/// # Routes
impl Router {
    /// Creates a router without routes, whose response to every request is a 404.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route. If the path has been added before, the methods are merged.
    ///
    /// # Panics
    /// If `path` does not begin with a slash, or contains a question mark or a number sign, which
    /// end the path of a URL, or if it has a handler for one of the methods already. When the
    /// router is used, also if `path` is malformed, has more than six parameters, or conflicts with
    /// another route.
    #[must_use]
    pub fn route(mut self, path: &str, methods: MethodRouter) -> Self {
        self.add(path, methods, None, States::default());
        self
    }

    /// Adds a route with a slash at the end. If that is `/`, and the router is nested, requests
    /// without the slash are handled by `without_slash`.
    #[cfg_attr(not(feature = "files"), expect(dead_code, reason = "only files need it"))]
    pub(crate) fn root(mut self, methods: MethodRouter, without_slash: MethodRouter) -> Self {
        self.add("/", methods, Some(without_slash), States::default());
        self
    }

    fn add(
        &mut self,
        path: &str,
        methods: MethodRouter,
        without_slash: Option<MethodRouter>,
        states: States,
    ) {
        assert!(path.starts_with('/'), "the path '{path}' must begin with a slash");
        assert!(
            !path.contains(['?', '#']),
            "the path '{path}' must not contain a query or a fragment; encode a question mark as \
             %3F and a number sign as %23"
        );
        let normal = normal_pattern(path);
        let Some(known) = self.paths.iter_mut().find(|known| known.normal == normal) else {
            let pattern = path.to_owned();
            self.paths.push(Path { pattern, normal, methods, without_slash, states });
            return;
        };
        assert!(
            known.pattern == path,
            "the routes '{}' and '{path}' are the same path; write both alike",
            known.pattern
        );
        known.methods = std::mem::take(&mut known.methods).merge(methods);
        known.without_slash = match (known.without_slash.take(), without_slash) {
            (Some(first), Some(second)) => Some(first.merge(second)),
            (first, second) => first.or(second),
        };
        known.states = known.states.or(&states);
    }

    /// Adds all routes of `other`, with their layers, and its fallback.
    ///
    /// # Panics
    /// If both have a handler for the same path and method, or both have a fallback.
    #[must_use]
    pub fn merge(mut self, mut other: Self) -> Self {
        other.shape_errors();
        let Self { paths, fallback, nested_fallbacks, states: of_other, .. } = other;
        for Path { pattern, methods, without_slash, states, .. } in paths {
            self.add(&pattern, methods, without_slash, states.or(&of_other));
        }
        let nested = nested_fallbacks.into_iter();
        self.nested_fallbacks.extend(nested.map(|(prefix, one)| (prefix, one.with(&of_other))));
        if let Some(fallback) = fallback {
            assert!(self.fallback.is_none(), "both routers have a fallback; remove one of the two");
            self.fallback = Some(fallback.with(&of_other));
        }
        self
    }

    /// Adds all routes of `other` below `prefix`, with their layers. The fallback of `other`
    /// handles the requests below `prefix` that no route matches.
    ///
    /// The root `/` of `other` is at `prefix` with and without a slash at the end. A root that
    /// [serves files](Router::files) redirects to the path with the slash, so that relative links
    /// work. With the prefix `/` the routes stay where they are.
    ///
    /// # Panics
    /// If `prefix` does not begin with a slash, or ends with one and is not `/`, and as
    /// [`Router::route`] does.
    #[must_use]
    pub fn nest(mut self, prefix: &str, mut other: Self) -> Self {
        assert!(
            prefix == "/" || prefix.starts_with('/') && !prefix.ends_with('/'),
            "the prefix '{prefix}' must begin with a slash and not end with one"
        );
        let below = prefix.trim_end_matches('/');
        other.shape_errors();
        let Self { paths, fallback, nested_fallbacks, states: of_other, .. } = other;
        for Path { pattern, methods, without_slash, states, .. } in paths {
            let states = states.or(&of_other);
            if below.is_empty() {
                self.add(&pattern, methods, without_slash, states);
                continue;
            }
            if pattern == "/" {
                let without_slash = without_slash.unwrap_or_else(|| methods.clone());
                self.add(below, without_slash, None, states.clone());
            }
            self.add(&format!("{below}{pattern}"), methods, None, states);
        }
        for (inner, fallback) in nested_fallbacks {
            self.nested_fallbacks.push((format!("{below}{inner}"), fallback.with(&of_other)));
        }
        if let Some(fallback) = fallback {
            self.nested_fallbacks.push((below.to_owned(), fallback.with(&of_other)));
        }
        self
    }

    /// Sets the handler of requests that no route matches, in place of a 404.
    #[must_use]
    pub fn fallback<H: Handler<A>, A>(mut self, handler: H) -> Self {
        let (handler, layers) = (handler.into_boxed(), Vec::new());
        self.fallback = Some(FallbackHandler { handler, layers, states: States::default() });
        self
    }

    /// Sets the handler of requests whose path has a route, but whose method has no handler there,
    /// in place of a 405. It holds for the routes that have been added so far. If its response is a
    /// 405 without an `Allow` header, that is added.
    #[must_use]
    pub fn method_not_allowed_fallback<H: Handler<A>, A>(mut self, handler: H) -> Self {
        let handler = handler.into_boxed();
        self.for_all(|methods| methods.set_not_allowed(&handler));
        self
    }

    /// Sets the state that handlers receive by [`State<T>`](crate::State). A router has one of each
    /// type, and a nested one uses those of the outer router that it lacks.
    ///
    /// Each loop makes its own router, so the value is usually an `Rc` and needs no lock.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// use brigade_http::{Router, State, get};
    ///
    /// async fn visit(State(visits): State<Rc<Cell<u32>>>) -> String {
    ///     visits.set(visits.get() + 1);
    ///     format!("visit {}", visits.get())
    /// }
    ///
    /// let router = Router::new().route("/", get(visit)).with_state(Rc::new(Cell::new(0)));
    /// ```
    #[must_use]
    pub fn with_state<T: Clone + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }
}

/// # Layers
impl Router {
    /// Wraps what the router holds so far into a middleware: the handlers of all routes, the
    /// responses to other methods, and the fallback. The middleware that is added last is the first
    /// to see a request.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Next, Request, Response, Router, get};
    ///
    /// async fn log(request: Request, next: Next) -> Response {
    ///     let path = request.path().to_owned();
    ///     let response = next.run(request).await;
    ///     println!("{path}: {}", response.status);
    ///     response
    /// }
    ///
    /// let router = Router::new().route("/", get(async || "hello")).layer(log);
    /// ```
    #[must_use]
    pub fn layer<F, R>(mut self, middleware: F) -> Self
    where
        F: AsyncFn(Request, Next) -> R + 'static,
        R: IntoResponse,
    {
        self.push_layer(&layer(middleware));
        self
    }

    /// Wraps the handlers of the routes that have been added so far into a middleware, and nothing
    /// else: neither the responses to other methods nor the fallback. So a middleware that checks
    /// credentials does not turn a 404 into a 401.
    ///
    /// # Panics
    /// If there is no route yet, since then it would do nothing.
    #[must_use]
    pub fn route_layer<F, R>(mut self, middleware: F) -> Self
    where
        F: AsyncFn(Request, Next) -> R + 'static,
        R: IntoResponse,
    {
        assert!(!self.paths.is_empty(), "add the routes before the layer that wraps them");
        let layer = layer(middleware);
        self.for_all(|methods| methods.push_handler_layer(&layer));
        self
    }

    /// Makes the responses to all errors of this router in one place: rejected arguments,
    /// [`HandlerError`]s, 404, 405, 413, timeouts, and panics, which are logged and become a 500.
    /// Without it they are a line of plain text.
    ///
    /// `make` receives the error, and the head of its request. Its response replaces the status,
    /// the body and the headers of its names; other headers stay, such as `Allow` and those of the
    /// layers. Responses that a handler made itself are not errors, whatever their status. The
    /// error responses to a malformed request, which has no route, stay as they are.
    ///
    /// A nested router can have its own. To copy the head takes one allocation a request.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{HandlerError, Html, IntoResponse, RequestHead, Router, get};
    ///
    /// fn page(error: &HandlerError, request: &RequestHead) -> impl IntoResponse + use<> {
    ///     let page = format!("<h1>{}</h1><p>at {}", error.status(), request.path().len());
    ///     (error.status(), Html(page))
    /// }
    ///
    /// let router = Router::new().route("/", get(async || "hello")).on_error(page);
    /// ```
    #[must_use]
    pub fn on_error<F, R>(mut self, make: F) -> Self
    where
        F: Fn(&HandlerError, &RequestHead) -> R + 'static,
        R: IntoResponse,
    {
        let make = Rc::new(make);
        self.on_error = Some(layer(move |request: Request, next| {
            let (make, head) = (make.clone(), request.head().clone());
            let make = move |error: &HandlerError| make(error, &head).into_response();
            with_errors_made_by(make, request, next)
        }));
        self
    }

    /// Makes the responses to errors with a function that does not need to know the request.
    #[cfg_attr(not(feature = "json"), expect(dead_code, reason = "only JSON needs it"))]
    pub(crate) fn on_error_without_head(mut self, make: fn(&HandlerError) -> Response) -> Self {
        self.on_error = Some(layer(move |request, next| with_errors_made_by(make, request, next)));
        self
    }

    /// Does what [`Router::layer`] does.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only layers of tower need it"))]
    pub(crate) fn with_layer(mut self, layer: &Layer) -> Self {
        self.push_layer(layer);
        self
    }

    /// Wraps what the router holds into [`Router::on_error`], once it is complete.
    fn shape_errors(&mut self) {
        if let Some(layer) = self.on_error.take() {
            self.push_layer(&layer);
        }
    }

    fn push_layer(&mut self, layer: &Layer) {
        self.for_all(|methods| methods.push_layer(layer));
        let nested = self.nested_fallbacks.iter_mut().map(|(_, fallback)| fallback);
        for fallback in nested.chain(&mut self.fallback) {
            fallback.layers.push(layer.clone());
        }
        self.layers.push(layer.clone());
    }

    fn for_all(&mut self, mut each: impl FnMut(&mut MethodRouter)) {
        for path in &mut self.paths {
            each(&mut path.methods);
            path.without_slash.iter_mut().for_each(&mut each);
        }
    }
}

/// # Building
impl Router {
    /// Converts the router into the service that a server uses, for instance for tests.
    ///
    /// # Panics
    /// If a route is malformed, has more than six parameters, or conflicts with another one, or if
    /// a handler needs a [`State`](crate::State) that the router does not have.
    #[must_use]
    pub fn into_service(mut self) -> Service {
        self.shape_errors();
        let Self { paths, fallback, nested_fallbacks, layers, states, .. } = self;
        let shared = Rc::new(states);
        let mut literals = Literals::new();
        let mut patterns = matchit::Router::new();
        for Path { pattern, normal, methods, states, .. } in paths {
            let names = param_names(&pattern);
            assert!(
                names.len() <= PARAMS_MAX,
                "the route '{pattern}' has more than {PARAMS_MAX} parameters"
            );
            let states = match states.is_empty() {
                true => shared.clone(),
                false => Rc::new(states.or(&shared)),
            };
            let entry = methods.build(&pattern, &names, &states);
            if Literals::<PathEntry>::accepts(&normal) {
                literals.insert(&normal, entry);
            } else if let Err(error) = patterns.insert(normal, entry) {
                panic!("the route '{pattern}' cannot be added: {error}");
            }
        }
        let of_layers = |endpoint| Fallback {
            endpoint: layered(endpoint, &layers),
            body_too_large: layered(error_endpoint(ProtocolError::BodyTooLarge), &layers),
        };
        Service {
            literals,
            patterns,
            nested_fallbacks: build_nested(nested_fallbacks, &shared),
            fallback: match fallback {
                Some(fallback) => fallback.build("the fallback", &shared),
                None => of_layers(status_endpoint(StatusCode::NOT_FOUND, None)),
            },
            asterisk: of_layers(status_endpoint(StatusCode::NO_CONTENT, None)),
        }
    }
}

/// Builds the fallbacks of nested routers. Of those with the same prefix the first one counts.
fn build_nested(
    fallbacks: Vec<(String, FallbackHandler)>,
    states: &States,
) -> matchit::Router<Rc<Fallback>> {
    let mut router = matchit::Router::new();
    for (prefix, fallback) in fallbacks {
        let built = Rc::new(fallback.build(&format!("the fallback below '{prefix}'"), states));
        let prefix = normal_pattern(&prefix);
        for pattern in [prefix.clone(), format!("{prefix}/"), format!("{prefix}/{{*rest}}")] {
            // The empty pattern, of a router that is nested at `/`, matches no path.
            let _ = router.insert(pattern, built.clone());
        }
    }
    router
}

impl FallbackHandler {
    /// Adds the states of the router that it comes from.
    fn with(mut self, states: &States) -> Self {
        self.states = self.states.or(states);
        self
    }

    fn build(self, name: &str, states: &States) -> Fallback {
        let Self { handler, layers, states: own } = self;
        let states = Rc::new(own.or(states));
        check_states(&handler, &states, name);
        let mut endpoint = layered(handler.endpoint, &layers);
        if !states.is_empty() {
            // A request without a route has its states among the extensions.
            let attach = layer(move |mut request: Request, next: Next| {
                request.extensions_mut().insert(states.clone());
                next.run(request)
            });
            endpoint = attach(endpoint);
        }
        let body_too_large = layered(error_endpoint(ProtocolError::BodyTooLarge), &layers);
        Fallback { endpoint, body_too_large }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.paths.iter().map(|path| &path.pattern)).finish()
    }
}

/// Returns the names of the parameters in `pattern`.
fn param_names(pattern: &str) -> Vec<Box<str>> {
    let after_braces = pattern.replace("{{", "").replace("}}", "");
    let names = after_braces.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    names.map(|name| name.trim_start_matches('*').into()).collect()
}
