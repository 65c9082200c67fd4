//! Which handler answers which request: by path, then by method.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::Note;
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use crate::handler::{Endpoint, Handler, Next};
use crate::literals::Literals;
use crate::middleware;
use crate::request::{PARAMS_MAX, Request};
use crate::response::{IntoResponse, Response};
use crate::service::{Other, PathEntry, Service};

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
    methods: Methods,
    /// Those of the routers that were nested, the innermost first.
    layers: Vec<Layer>,
}

type Layer = Rc<dyn Fn(Rc<dyn Endpoint>) -> Rc<dyn Endpoint>>;

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
    pub fn route(mut self, path: &str, methods: Methods) -> Self {
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

fn layer<F, Fut>(middleware: F) -> Layer
where
    F: Fn(Request, Next) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    let middleware = Rc::new(middleware);
    Rc::new(move |endpoint| {
        let middleware = middleware.clone();
        Handler::endpoint(move |request| middleware(request, Next { endpoint: endpoint.clone() }))
    })
}

fn layered(endpoint: Rc<dyn Endpoint>, layers: &[Layer]) -> Rc<dyn Endpoint> {
    layers.iter().fold(endpoint, |inner, layer| layer(inner))
}

/// Always the same answer.
fn fixed(status: StatusCode, allow: Option<HeaderValue>) -> Rc<dyn Endpoint> {
    Handler::endpoint(move |_| {
        let mut response = match status.is_success() {
            true => Response::empty(status),
            false => Response::plain(status, ""),
        };
        if let Some(allow) = allow.clone() {
            response.headers.insert(ALLOW, allow);
        }
        std::future::ready(response)
    })
}

/// The handlers of one path, by method; made by [`get`], [`post`], [`any`] and their like.
#[derive(Default)]
#[must_use]
pub struct Methods {
    handlers: Vec<(Method, Rc<dyn Endpoint>)>,
    any: Option<Rc<dyn Endpoint>>,
    options: RouteOptions,
}

/// What a route does otherwise than its server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RouteOptions {
    pub(crate) body_bytes_max: Option<u64>,
    pub(crate) runs_to_end: bool,
    pub(crate) body_gap: Option<Duration>,
    pub(crate) body_bytes_per_second_min: Option<u32>,
    timeout: Option<Duration>,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $Method:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name<F, Fut>(handler: F) -> Methods
            where
                F: Fn(Request) -> Fut + 'static,
                Fut: Future + 'static,
                Fut::Output: IntoResponse,
            {
                Methods::default().$name(handler)
            }
        )*

        impl Methods {
            $(
                $(#[$doc])*
                pub fn $name<F, Fut>(self, handler: F) -> Self
                where
                    F: Fn(Request) -> Fut + 'static,
                    Fut: Future + 'static,
                    Fut::Output: IntoResponse,
                {
                    self.on(Method::$Method, handler)
                }
            )*
        }
    };
}

methods! {
    /// Answers GET, and HEAD where there is no handler for it.
    get GET;
    /// Answers HEAD.
    head HEAD;
    /// Answers POST.
    post POST;
    /// Answers PUT.
    put PUT;
    /// Answers PATCH.
    patch PATCH;
    /// Answers DELETE.
    delete DELETE;
    /// Answers OPTIONS.
    options OPTIONS;
}

/// Answers every method.
pub fn any<F, Fut>(handler: F) -> Methods
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    Methods { any: Some(Handler::endpoint(handler)), ..Methods::default() }
}

impl Methods {
    /// Answers `method`.
    ///
    /// # Panics
    /// If there is a handler for it already.
    pub fn on<F, Fut>(mut self, method: Method, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: IntoResponse,
    {
        let is_new = self.handlers.iter().all(|(known, _)| *known != method);
        assert!(is_new, "there is a handler for {method} already");
        self.handlers.push((method, Handler::endpoint(handler)));
        self
    }

    /// How long a request's body may be here, in bytes, in place of the server's limit.
    pub fn body_limit(mut self, bytes_max: u64) -> Self {
        self.options.body_bytes_max = Some(bytes_max);
        self
    }

    /// Lets the handlers here run to their end when the client goes away; without this they are
    /// cancelled where they await.
    pub fn run_to_end(mut self) -> Self {
        self.options.runs_to_end = true;
        self
    }

    /// How long the handlers here may take to answer. Then they are cancelled where they await,
    /// also those that run to their end, and the answer is 503, as of
    /// [`middleware::timeout`](crate::middleware::timeout); the layers around see that answer.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// The longest silence within a request's body here, in place of
    /// [`Timeouts::body_gap`](crate::Timeouts::body_gap).
    pub fn body_gap(mut self, gap: Duration) -> Self {
        self.options.body_gap = Some(gap);
        self
    }

    /// The average rate, in bytes a second, below which a request's body is given up here, in
    /// place of [`Timeouts::body_bytes_per_second_min`](crate::Timeouts). 0 for none.
    pub fn body_rate(mut self, bytes_per_second_min: u32) -> Self {
        self.options.body_bytes_per_second_min = Some(bytes_per_second_min);
        self
    }

    fn layered(mut self, layers: &[Layer]) -> Self {
        for (_, handler) in &mut self.handlers {
            *handler = layered(handler.clone(), layers);
        }
        self.any = self.any.map(|handler| layered(handler, layers));
        self
    }

    fn build(mut self, pattern: &str, names: &[Box<str>], layers: &[Layer]) -> PathEntry {
        let allow = self.allow();
        if let Some(limit) = self.options.timeout {
            self = self.layered(&[layer(middleware::timeout(limit))]);
        }
        self = self.layered(layers);
        let other = match self.any {
            Some(any) => Other::Any(any),
            None => Other::Refuse {
                options: layered(fixed(StatusCode::NO_CONTENT, allow.clone()), layers),
                rest: layered(fixed(StatusCode::METHOD_NOT_ALLOWED, allow), layers),
            },
        };
        let route = Rc::new(Route {
            pattern: pattern.into(),
            note: Note::new(pattern),
            params: names.into(),
            options: self.options,
        });
        PathEntry { route, handlers: self.handlers, other }
    }

    /// The methods that the path answers (RFC 9110 section 10.2.1).
    fn allow(&self) -> Option<HeaderValue> {
        let has = |method| self.handlers.iter().any(|(known, _)| *known == method);
        let mut names: Vec<_> = self.handlers.iter().map(|(method, _)| method.as_str()).collect();
        if has(Method::GET) && !has(Method::HEAD) {
            names.push("HEAD");
        }
        if !has(Method::OPTIONS) {
            names.push("OPTIONS");
        }
        HeaderValue::try_from(names.join(", ")).ok()
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.handlers.iter().map(|(method, _)| method.as_str());
        f.debug_list().entries(methods).entries(self.any.as_ref().map(|_| "*")).finish()
    }
}

/// What is known of the route that a request matched.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) pattern: Box<str>,
    /// The pattern, for the report of a loop that is stuck in a handler.
    pub(crate) note: Note,
    pub(crate) params: Box<[Box<str>]>,
    pub(crate) options: RouteOptions,
}
