//! The handlers of one path, by method.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::Note;
use http::{HeaderValue, Method, StatusCode};

use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::message::route::{Route, RouteOptions};
use crate::protocol::error::ProtocolError;
use crate::routing::handler::{Endpoint, Handler};
use crate::routing::layers::{Layer, error_endpoint, layer, layered, status_endpoint};
use crate::routing::service::{OtherMethods, PathEntry};
use crate::routing::timeout::within_limit;

/// The handlers of one path, by method, with the options of the path. Created by [`get`], [`post`],
/// [`any`] and the other functions of this kind.
///
/// # Examples
/// ```
/// use brigade_http::{Router, get};
///
/// let items = get(async |_| "all items").post(async |_| "created").body_limit(64 * 1024);
/// let router = Router::new().route("/items", items);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct MethodRouter {
    handlers: Vec<(Method, Rc<dyn Endpoint>)>,
    any: Option<Rc<dyn Endpoint>>,
    options: RouteOptions,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $Method:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name<F, Fut>(handler: F) -> MethodRouter
            where
                F: Fn(Request) -> Fut + 'static,
                Fut: Future + 'static,
                Fut::Output: IntoResponse,
            {
                MethodRouter::default().$name(handler)
            }
        )*

        impl MethodRouter {
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
pub fn any<F, Fut>(handler: F) -> MethodRouter
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    MethodRouter { any: Some(Handler::endpoint(handler)), ..MethodRouter::default() }
}

impl MethodRouter {
    /// Adds a handler for `method`.
    ///
    /// # Panics
    /// If the method has a handler already.
    pub fn on<F, Fut>(mut self, method: Method, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: IntoResponse,
    {
        let is_new = self.handlers.iter().all(|(known, _)| *known != method);
        assert!(is_new, "{method} has a handler already; remove one of the two");
        self.handlers.push((method, Handler::endpoint(handler)));
        self
    }

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
    /// [`middleware::timeout`](crate::middleware::timeout). The layers of the router see that
    /// response.
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

    /// Wraps all handlers into `layers`.
    fn layered(mut self, layers: &[Layer]) -> Self {
        for (_, handler) in &mut self.handlers {
            *handler = layered(handler.clone(), layers);
        }
        self.any = self.any.map(|handler| layered(handler, layers));
        self
    }

    /// Builds the entry of `pattern`, which has parameters of these `names`.
    pub(super) fn build(
        mut self,
        pattern: &str,
        names: &[Box<str>],
        layers: &[Layer],
    ) -> PathEntry {
        let allow = self.allow();
        if let Some(limit) = self.options.timeout {
            self = self.layered(&[layer(move |request, next| within_limit(limit, request, next))]);
        }
        self = self.layered(layers);
        let other = match self.any {
            Some(any) => OtherMethods::Any(any),
            None => {
                let options = status_endpoint(StatusCode::NO_CONTENT, allow.clone());
                let rest = status_endpoint(StatusCode::METHOD_NOT_ALLOWED, allow);
                OtherMethods::Refused {
                    options: layered(options, layers),
                    rest: layered(rest, layers),
                }
            }
        };
        let route = Rc::new(Route {
            pattern: pattern.into(),
            note: Note::new(pattern),
            params: names.into(),
            options: self.options,
        });
        let body_too_large = layered(error_endpoint(ProtocolError::BodyTooLarge), layers);
        PathEntry { route, handlers: self.handlers, other, body_too_large }
    }

    /// Returns the value of `Allow`: the methods of the path (RFC 9110 section 10.2.1).
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

impl fmt::Debug for MethodRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.handlers.iter().map(|(method, _)| method.as_str());
        f.debug_list().entries(methods).entries(self.any.as_ref().map(|_| "*")).finish()
    }
}
