//! Maps requests to handlers, by path and then by method.

use std::fmt;
use std::rc::Rc;

use http::StatusCode;

use crate::message::params::PARAMS_MAX;
use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::routing::handler::{Endpoint, Handler, Next};
use crate::routing::layers::{Layer, layer, layered, status_endpoint};
use crate::routing::literals::Literals;
use crate::routing::method_router::MethodRouter;
use crate::routing::service::{PathEntry, Service};

/// The routes of an application, each a path with the handlers of its methods.
///
/// Paths have parameters in braces: `{name}` for one segment, `{*rest}` for all following segments
/// (the syntax of matchit). If several routes match, the most literal one wins.
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
    pattern: String,
    methods: MethodRouter,
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
    /// If `path` does not begin with a slash or has been added before. When the router is used,
    /// also if `path` is malformed, has more than six parameters, or conflicts with another route.
    #[must_use]
    pub fn route(mut self, path: &str, methods: MethodRouter) -> Self {
        assert!(path.starts_with('/'), "the path '{path}' must begin with a slash");
        assert!(
            !self.paths.iter().any(|known| known.pattern == path),
            "the route '{path}' exists already; add all its methods at once"
        );
        self.paths.push(Path { pattern: path.to_owned(), methods, layers: Vec::new() });
        self
    }

    /// Adds all routes of `other` below `prefix`, with the layers of `other`, which also see the
    /// responses to methods without a handler. The fallback of `other` is dropped.
    ///
    /// # Panics
    /// If `prefix` does not begin with a slash or ends with one, and as [`Router::route`] does.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        assert!(
            prefix.starts_with('/') && !prefix.ends_with('/'),
            "the prefix '{prefix}' must begin with a slash and not end with one"
        );
        for Path { pattern, methods, mut layers } in other.paths {
            let pattern = if pattern == "/" { String::new() } else { pattern };
            self = self.route(&format!("{prefix}{pattern}"), methods);
            layers.extend(other.layers.iter().cloned());
            self.paths.last_mut().expect("a route was added").layers = layers;
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
        for Path { pattern, methods, mut layers } in self.paths {
            let names = param_names(&pattern);
            assert!(
                names.len() <= PARAMS_MAX,
                "the route '{pattern}' has more than {PARAMS_MAX} parameters"
            );
            layers.extend(self.layers.iter().cloned());
            let entry = methods.build(&pattern, &names, &layers);
            if Literals::<PathEntry>::accepts(&pattern) {
                literals.insert(&pattern, entry);
            } else if let Err(error) = patterns.insert(pattern.clone(), entry) {
                panic!("the route '{pattern}' cannot be added: {error}");
            }
        }
        let fallback =
            self.fallback.unwrap_or_else(|| status_endpoint(StatusCode::NOT_FOUND, None));
        Service {
            literals,
            patterns,
            fallback: layered(fallback, &self.layers),
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
