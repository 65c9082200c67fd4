//! What middleware tells a handler.

use std::any::Any;

use crate::request::Request;

/// Values that were attached to a request, one of each type. Without memory until then.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    /// In a box of its own, so that a request without any is only a pointer larger.
    values: Option<Box<Values>>,
}

#[derive(Debug, Default)]
struct Values {
    list: Vec<Box<dyn Any>>,
}

impl Extensions {
    /// Drops all values. Inlined, since there are none in most requests.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.values.is_some() {
            self.values = None;
        }
    }
}

impl Request {
    /// Attaches a value for those who get the request next: middleware tells the handler so what
    /// it found out. Returns the value of this type that was attached before.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    ///
    /// use brigade_http::{IntoResponse, Next, Request, Response, Router, get};
    /// use http::StatusCode;
    ///
    /// struct User(Rc<str>);
    ///
    /// async fn authenticate(mut request: Request, next: Next) -> Response {
    ///     let Some(name) = request.cookie("user").map(Rc::from) else {
    ///         return StatusCode::UNAUTHORIZED.into_response();
    ///     };
    ///     request.attach(User(name));
    ///     next.run(request).await
    /// }
    ///
    /// async fn greet(request: Request) -> String {
    ///     let User(name) = request.attached().expect("the route is behind `authenticate`");
    ///     format!("Hello, {name}!")
    /// }
    ///
    /// let router = Router::new().route("/", get(greet)).layer(authenticate);
    /// ```
    pub fn attach<T: 'static>(&mut self, value: T) -> Option<T> {
        let values = &mut self.parts.extensions.values.get_or_insert_default().list;
        let place = values.iter_mut().find_map(|known| known.downcast_mut());
        match place {
            Some(known) => Some(std::mem::replace(known, value)),
            None => {
                values.push(Box::new(value));
                None
            }
        }
    }

    /// The value of this type that was attached, if there is one.
    #[must_use]
    pub fn attached<T: 'static>(&self) -> Option<&T> {
        let values = self.parts.extensions.values.as_ref()?;
        values.list.iter().find_map(|value| value.downcast_ref())
    }
}
