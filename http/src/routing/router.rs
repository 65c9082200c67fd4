//! Maps requests to handlers, by path and then by method.

use std::fmt;
use std::rc::Rc;

use http::StatusCode;

use crate::message::params::PARAMS_MAX;
use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::protocol::error::ProtocolError;
use crate::routing::handler::{Endpoint, Handler, Next};
use crate::routing::layers::{Layer, error_endpoint, layer, layered, status_endpoint};
use crate::routing::literals::Literals;
use crate::routing::method_router::MethodRouter;
use crate::routing::path::normal_pattern;
use crate::routing::service::{PathEntry, Service};

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
///     .route("/", get(async |_| "home"))
///     .route("/greet/{name}", get(greet));
/// ```
#[derive(Default)]
pub struct Router {
    paths: Vec<Path>,
    fallback: Option<Rc<dyn Endpoint>>,
    layers: Vec<Layer>,
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
    /// The layers of the nested routers that the path comes from, the innermost first.
    layers: Vec<Layer>,
}

impl Router {
    /// Creates a router without routes, whose response to every request is a 404.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route.
    ///
    /// # Panics
    /// If `path` does not begin with a slash, contains a question mark or a number sign, which end
    /// the path of a URL, or has been added before. When the router is used, also if `path` is
    /// malformed, has more than six parameters, or conflicts with another route.
    #[must_use]
    pub fn route(mut self, path: &str, methods: MethodRouter) -> Self {
        self.add(path, methods, None, Vec::new());
        self
    }

    /// Adds a route with a slash at the end. If that is `/`, and the router is nested, requests
    /// without the slash are handled by `without_slash`.
    #[cfg_attr(not(feature = "files"), expect(dead_code, reason = "only files need it"))]
    pub(crate) fn root(mut self, methods: MethodRouter, without_slash: MethodRouter) -> Self {
        self.add("/", methods, Some(without_slash), Vec::new());
        self
    }

    fn add(
        &mut self,
        path: &str,
        methods: MethodRouter,
        without_slash: Option<MethodRouter>,
        layers: Vec<Layer>,
    ) {
        assert!(path.starts_with('/'), "the path '{path}' must begin with a slash");
        assert!(
            !path.contains(['?', '#']),
            "the path '{path}' must not contain a query or a fragment; encode a question mark as \
             %3F and a number sign as %23"
        );
        let normal = normal_pattern(path);
        assert!(
            !self.paths.iter().any(|known| known.normal == normal),
            "the route '{path}' exists already; add all its methods at once"
        );
        self.paths.push(Path { pattern: path.to_owned(), normal, methods, without_slash, layers });
    }

    /// Adds all routes of `other` below `prefix`, with the layers of `other`, which also see the
    /// responses to methods without a handler. The fallback of `other` is dropped.
    ///
    /// The root `/` of `other` is at `prefix` with and without a slash at the end. A root that
    /// [serves files](Router::files) redirects to the path with the slash, so that relative links
    /// work.
    ///
    /// # Panics
    /// If `prefix` does not begin with a slash or ends with one, and as [`Router::route`] does.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        assert!(
            prefix.starts_with('/') && !prefix.ends_with('/'),
            "the prefix '{prefix}' must begin with a slash and not end with one"
        );
        for Path { pattern, methods, without_slash, mut layers, .. } in other.paths {
            layers.extend(other.layers.iter().cloned());
            if pattern == "/" {
                let without_slash = without_slash.unwrap_or_else(|| methods.clone());
                self.add(prefix, without_slash, None, layers.clone());
            }
            self.add(&format!("{prefix}{pattern}"), methods, None, layers);
        }
        self
    }

    /// Sets the handler of requests that no route matches, in place of a 404.
    #[must_use]
    pub fn fallback<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: IntoResponse,
    {
        self.fallback = Some(Handler::endpoint(handler));
        self
    }

    /// Wraps all handlers, including the fallback, into a middleware. The middleware that is added
    /// last is the first to see a request.
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
    /// let router = Router::new().route("/", get(async |_| "hello")).layer(log);
    /// ```
    #[must_use]
    pub fn layer<F, Fut>(mut self, middleware: F) -> Self
    where
        F: Fn(Request, Next) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: IntoResponse,
    {
        self.layers.push(layer(middleware));
        self
    }

    /// Converts the router into the service that a server uses, for instance for tests.
    ///
    /// # Panics
    /// If a route is malformed, has more than six parameters, or conflicts with another one.
    #[must_use]
    pub fn into_service(self) -> Service {
        let mut literals = Literals::new();
        let mut patterns = matchit::Router::new();
        for Path { pattern, normal, methods, mut layers, .. } in self.paths {
            let names = param_names(&pattern);
            assert!(
                names.len() <= PARAMS_MAX,
                "the route '{pattern}' has more than {PARAMS_MAX} parameters"
            );
            layers.extend(self.layers.iter().cloned());
            let entry = methods.build(&pattern, &names, &layers);
            if Literals::<PathEntry>::accepts(&normal) {
                literals.insert(&normal, entry);
            } else if let Err(error) = patterns.insert(normal, entry) {
                panic!("the route '{pattern}' cannot be added: {error}");
            }
        }
        let fallback =
            self.fallback.unwrap_or_else(|| status_endpoint(StatusCode::NOT_FOUND, None));
        Service {
            literals,
            patterns,
            fallback: layered(fallback, &self.layers),
            body_too_large: layered(error_endpoint(ProtocolError::BodyTooLarge), &self.layers),
            asterisk: layered(status_endpoint(StatusCode::NO_CONTENT, None), &self.layers),
        }
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
