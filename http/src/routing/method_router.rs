//! The handlers of one path, by method.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::Note;
use http::{HeaderValue, Method, StatusCode};

use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::message::route::{Route, RouteOptions};
use crate::message::states::States;
use crate::protocol::error::ProtocolError;
use crate::routing::endpoint::{Endpoint, Next};
use crate::routing::handler::{BoxedHandler, Handler};
use crate::routing::layers::{Layer, allow_layer, error_endpoint, layer, layered, status_endpoint};
use crate::routing::service::{Entry, OtherMethods, PathEntry};
use crate::routing::timeout::within_limit;

/// The handlers of one path, by method, with the options of the path. Created by [`get`], [`post`],
/// [`any`] and the other functions of this kind.
///
/// # Examples
/// ```
/// use brigade_http::{Router, get};
///
/// let items = get(async || "all items").post(async || "created").body_limit(64 * 1024);
/// let router = Router::new().route("/items", items);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct MethodRouter {
    handlers: Vec<MethodHandler>,
    /// Handles the methods without a handler, in place of a 405.
    not_allowed: Option<BoxedHandler>,
    /// The layers of the responses that no handler makes: 204, 405 and 413.
    layers: Vec<Layer>,
    options: RouteOptions,
}

#[derive(Clone)]
struct MethodHandler {
    /// `None` for all methods that have no handler of their own.
    method: Option<Method>,
    handler: BoxedHandler,
    layers: Vec<Layer>,
    /// `None` while the options of the `MethodRouter` hold.
    options: Option<RouteOptions>,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $Method:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name<H: Handler<A>, A>(handler: H) -> MethodRouter {
                MethodRouter::default().$name(handler)
            }
        )*

        impl MethodRouter {
            $(
                $(#[$doc])*
                ///
                /// # Panics
                /// If the method has a handler already.
                pub fn $name<H: Handler<A>, A>(self, handler: H) -> Self {
                    self.on(Method::$Method, handler)
                }
            )*
        }
    };
}

methods! {
    /// Adds a handler for GET, which also handles HEAD unless that has its own.
    get GET;
    /// Adds a handler for HEAD.
    head HEAD;
    /// Adds a handler for POST.
    post POST;
    /// Adds a handler for PUT.
    put PUT;
    /// Adds a handler for PATCH.
    patch PATCH;
    /// Adds a handler for DELETE.
    delete DELETE;
    /// Adds a handler for OPTIONS, in place of the 204 with `Allow`.
    options OPTIONS;
}

/// Adds a handler for all methods.
pub fn any<H: Handler<A>, A>(handler: H) -> MethodRouter {
    MethodRouter::default().any(handler)
}

/// # Handlers
impl MethodRouter {
    /// Adds a handler for `method`.
    ///
    /// # Panics
    /// If the method has a handler already.
    pub fn on<H: Handler<A>, A>(self, method: Method, handler: H) -> Self {
        self.with(Some(method), handler.into_boxed())
    }

    /// Adds a handler for all methods that have no handler of their own.
    ///
    /// # Panics
    /// If there is such a handler already.
    pub fn any<H: Handler<A>, A>(self, handler: H) -> Self {
        self.with(None, handler.into_boxed())
    }

    fn with(mut self, method: Option<Method>, handler: BoxedHandler) -> Self {
        self.add(MethodHandler { method, handler, layers: Vec::new(), options: None });
        self
    }

    fn add(&mut self, new: MethodHandler) {
        let is_new = self.handlers.iter().all(|known| known.method != new.method);
        let name = new.method.as_ref().map_or("every method", Method::as_str);
        assert!(is_new, "{name} has a handler already; remove one of the two");
        self.handlers.push(new);
    }

    /// Adds the handlers of `other`, which keep their options and layers.
    ///
    /// # Panics
    /// If both have a handler for the same method.
    pub fn merge(mut self, mut other: Self) -> Self {
        self.keep_options();
        other.keep_options();
        for handler in other.handlers {
            self.add(handler);
        }
        self.layers.extend(other.layers);
        self.not_allowed = self.not_allowed.or(other.not_allowed);
        self
    }

    /// Gives each handler the options that hold for it now.
    fn keep_options(&mut self) {
        for handler in &mut self.handlers {
            handler.options.get_or_insert(self.options);
        }
    }

    /// Wraps the handlers that have been added so far, and the responses to other methods, into a
    /// middleware. The middleware that is added last is the first to see a request.
    pub fn layer<F, R>(mut self, middleware: F) -> Self
    where
        F: AsyncFn(Request, Next) -> R + 'static,
        R: IntoResponse,
    {
        self.push_layer(&layer(middleware));
        self
    }

    pub(super) fn push_layer(&mut self, layer: &Layer) {
        self.push_handler_layer(layer);
        self.layers.push(layer.clone());
    }

    /// Wraps only the handlers.
    pub(super) fn push_handler_layer(&mut self, layer: &Layer) {
        for handler in &mut self.handlers {
            handler.layers.push(layer.clone());
        }
    }

    /// Sets the handler of methods that have none, unless there is one.
    pub(super) fn set_not_allowed(&mut self, handler: &BoxedHandler) {
        self.not_allowed.get_or_insert_with(|| handler.clone());
    }
}

/// # Options
impl MethodRouter {
    /// Sets the maximum length of a request body in bytes, in place of
    /// [`Limits::body_bytes_max`](crate::Limits::body_bytes_max).
    pub fn body_limit(mut self, bytes_max: u64) -> Self {
        self.options.body_bytes_max = Some(bytes_max);
        self
    }

    /// Lets the handlers run to their end if the client disconnects. Without this, they are
    /// cancelled at the point where they await.
    pub fn detach_on_disconnect(mut self) -> Self {
        self.options.detaches_on_disconnect = true;
        self
    }

    /// Sets how long the handlers may take to respond. After that they are cancelled, even with
    /// [`detach_on_disconnect`](Self::detach_on_disconnect), and the response is a 503, as with
    /// [`middleware::timeout`](crate::middleware::timeout). The layers see that response.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// Sets the maximum pause within a request body, in place of
    /// [`Timeouts::body_gap`](crate::Timeouts::body_gap).
    pub fn body_gap(mut self, gap: Duration) -> Self {
        self.options.body_gap = Some(gap);
        self
    }

    /// Sets the minimum average rate of a request body in bytes a second, in place of
    /// [`Timeouts::body_bytes_per_second_min`](crate::Timeouts::body_bytes_per_second_min). 0
    /// allows any rate.
    pub fn body_rate(mut self, bytes_per_second_min: u32) -> Self {
        self.options.body_bytes_per_second_min = Some(bytes_per_second_min);
        self
    }

    /// Sets the minimum average rate, in bytes a second, at which the client has to take the
    /// response, in place of
    /// [`Timeouts::write_bytes_per_second_min`](crate::Timeouts::write_bytes_per_second_min). 0
    /// allows any rate.
    pub fn write_rate(mut self, bytes_per_second_min: u32) -> Self {
        self.options.write_bytes_per_second_min = Some(bytes_per_second_min);
        self
    }
}

/// # Building
impl MethodRouter {
    /// Builds the entry of `pattern`, which has parameters of these `names`.
    ///
    /// # Panics
    /// If a handler needs a state that `states` lack.
    pub(super) fn build(self, pattern: &str, names: &[Box<str>], states: &Rc<States>) -> PathEntry {
        let Self { handlers, not_allowed, layers, options } = self;
        let allow = allow(&handlers);
        let route = |options| {
            Rc::new(Route {
                pattern: pattern.into(),
                note: Note::new(pattern),
                params: names.into(),
                options,
                states: states.clone(),
            })
        };
        let too_large = |layers: &[_]| layered(error_endpoint(ProtocolError::BodyTooLarge), layers);
        let mut any = None;
        let mut by_method = Vec::with_capacity(handlers.len());
        for MethodHandler { method, handler, layers, options: own } in handlers {
            check_states(&handler, states, pattern);
            let options = own.unwrap_or(options);
            let endpoint = layered(with_timeout(handler.endpoint, options.timeout), &layers);
            let body_too_large = too_large(&layers);
            let entry = Entry { route: route(options), endpoint, body_too_large };
            match method {
                Some(method) => by_method.push((method, entry)),
                None => any = Some(entry),
            }
        }
        let refusal = |endpoint| Entry {
            route: route(options),
            endpoint: layered(endpoint, &layers),
            body_too_large: too_large(&layers),
        };
        let rest = || match &not_allowed {
            Some(handler) => {
                check_states(handler, states, pattern);
                let allow_layer: Vec<_> = allow.iter().cloned().map(allow_layer).collect();
                layered(handler.endpoint.clone(), &allow_layer)
            }
            None => status_endpoint(StatusCode::METHOD_NOT_ALLOWED, allow.clone()),
        };
        let other = any.map_or_else(
            || OtherMethods::Refused {
                options: refusal(status_endpoint(StatusCode::NO_CONTENT, allow.clone())),
                rest: refusal(rest()),
            },
            OtherMethods::Any,
        );
        PathEntry { handlers: by_method, other }
    }
}

/// Panics if `handler`, of the route `pattern`, needs a state that `states` lack.
pub(super) fn check_states(handler: &BoxedHandler, states: &States, pattern: &str) {
    if let Some(missing) = handler.requirements.missing(states) {
        panic!(
            "the route '{pattern}' needs the state {missing}, which the router does not have; set \
             it by `Router::with_state`"
        );
    }
}

fn with_timeout(endpoint: Rc<dyn Endpoint>, limit: Option<Duration>) -> Rc<dyn Endpoint> {
    let limit = limit.map(|limit| layer(move |request, next| within_limit(limit, request, next)));
    layered(endpoint, limit.as_slice())
}

/// Returns the value of `Allow`: the methods of a path (RFC 9110 section 10.2.1).
fn allow(handlers: &[MethodHandler]) -> Option<HeaderValue> {
    let mut methods: Vec<_> = handlers.iter().filter_map(|one| one.method.as_ref()).collect();
    if methods.contains(&&Method::GET) && !methods.contains(&&Method::HEAD) {
        methods.push(&Method::HEAD);
    }
    if !methods.contains(&&Method::OPTIONS) {
        methods.push(&Method::OPTIONS);
    }
    let names: Vec<_> = methods.into_iter().map(Method::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

impl fmt::Debug for MethodRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.handlers.iter().map(|one| one.method.as_ref().map_or("*", Method::as_str));
        f.debug_list().entries(names).finish()
    }
}
