//! Which handler answers which request: by path, then by method.

use std::fmt;
use std::rc::Rc;

use http::StatusCode;

use crate::message::params::PARAMS_MAX;
use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::routing::handler::{Endpoint, Handler, Next};
use crate::routing::layers::{Layer, fixed, layer, layered};
use crate::routing::literals::Literals;
use crate::routing::method_router::MethodRouter;
use crate::routing::service::{PathEntry, Service};

/// Routes of an application, each a path and the handlers of its methods.
///
/// A path has parameters in braces: `{name}` for one segment, `{*rest}` for all that follow
/// (matchit's syntax). Of several routes that match, the most literal one wins.
///
/// A router is made on each loop, by the function given to the server: handlers may hold `Rc`
/// and need no lock.
#[derive(Default)]
pub struct Router {
    paths: Vec<Path>,
    fallback: Option<Rc<dyn Endpoint>>,
    layers: Vec<Layer>,
}

struct Path {
    pattern: String,
    methods: MethodRouter,
    /// Those of the routers that were nested, the innermost first.
    layers: Vec<Layer>,
}

impl Router {
    /// A router that answers 404 to everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `methods` answer at `path`.
    ///
    /// # Panics
    /// If `path` does not begin with a slash, is malformed, has more than six parameters, or
    /// stands against another route: when the router is used, or at once where it can be seen.
    #[must_use]
    pub fn route(mut self, path: &str, methods: MethodRouter) -> Self {
        assert!(path.starts_with('/'), "a path begins with a slash: '{path}'");
        assert!(
            !self.paths.iter().any(|known| known.pattern == path),
            "the route '{path}' is there already: give it all its methods at once"
        );
        self.paths.push(Path { pattern: path.to_owned(), methods, layers: Vec::new() });
        self
    }

    /// Puts all routes of `other` below `prefix`, with the layers that it has so far: they are
    /// also around the answers to methods without a handler. Its fallback is left out.
    ///
    /// # Panics
    /// If `prefix` does not begin with a slash or ends with one, and as [`Router::route`] says.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        assert!(
            prefix.starts_with('/') && !prefix.ends_with('/'),
            "a prefix begins with a slash and does not end with one: '{prefix}'"
        );
        for Path { pattern, methods, mut layers } in other.paths {
            let pattern = if pattern == "/" { String::new() } else { pattern };
            self = self.route(&format!("{prefix}{pattern}"), methods);
            layers.extend(other.layers.iter().cloned());
            self.paths.last_mut().expect("a route was added").layers = layers;
        }
        self
    }

    /// Answers what no route matches, in place of a 404.
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

    /// Puts a function around all handlers, and around the answers to what matches no route. The
    /// one that is added last is the first to see a request.
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

    /// The router as a server uses it: to answer requests without one, as tests do.
    ///
    /// # Panics
    /// As [`Router::route`] says.
    #[must_use]
    pub fn into_service(self) -> Service {
        let mut literals = Literals::new();
        let mut patterns = matchit::Router::new();
        for Path { pattern, methods, mut layers } in self.paths {
            let names = param_names(&pattern);
            assert!(names.len() <= PARAMS_MAX, "'{pattern}' has more than {PARAMS_MAX} parameters");
            layers.extend(self.layers.iter().cloned());
            let entry = methods.build(&pattern, &names, &layers);
            if Literals::<PathEntry>::takes(&pattern) {
                literals.insert(&pattern, entry);
            } else if let Err(error) = patterns.insert(pattern.clone(), entry) {
                panic!("the route '{pattern}' cannot be added: {error}");
            }
        }
        let fallback = self.fallback.unwrap_or_else(|| fixed(StatusCode::NOT_FOUND, None));
        Service {
            literals,
            patterns,
            fallback: layered(fallback, &self.layers),
            asterisk: layered(fixed(StatusCode::NO_CONTENT, None), &self.layers),
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.paths.iter().map(|path| &path.pattern)).finish()
    }
}

fn param_names(pattern: &str) -> Vec<Box<str>> {
    let after_braces = pattern.replace("{{", "").replace("}}", "");
    let names = after_braces.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    names.map(|name| name.trim_start_matches('*').into()).collect()
}
