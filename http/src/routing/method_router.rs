//! The handlers of one path, by method.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::Note;
use http::{HeaderValue, Method, StatusCode};

use crate::message::request::Request;
use crate::message::response::IntoResponse;
use crate::message::route::{Route, RouteOptions};
use crate::routing::handler::{Endpoint, Handler};
use crate::routing::layers::{Layer, fixed, layer, layered};
use crate::routing::service::{Other, PathEntry};
use crate::routing::timeout::within_limit;

/// The handlers of one path, by method; made by [`get`], [`post`], [`any`] and their like.
#[derive(Default)]
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
pub fn any<F, Fut>(handler: F) -> MethodRouter
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    MethodRouter { any: Some(Handler::endpoint(handler)), ..MethodRouter::default() }
}

impl MethodRouter {
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
    pub fn detach_on_disconnect(mut self) -> Self {
        self.options.detaches_on_disconnect = true;
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

impl fmt::Debug for MethodRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.handlers.iter().map(|(method, _)| method.as_str());
        f.debug_list().entries(methods).entries(self.any.as_ref().map(|_| "*")).finish()
    }
}
