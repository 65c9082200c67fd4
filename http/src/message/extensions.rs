//! Values attached to a request, by type.

use std::any::Any;

/// Values attached to a request, at most one of each type. Allocates nothing until a value is
/// attached.
///
/// Like `http::Extensions`, but the values need not be `Send`.
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
///     request.extensions_mut().insert(User(name));
///     next.run(request).await
/// }
///
/// async fn greet(request: Request) -> String {
///     let User(name) = request.extensions().get().expect("the route is behind `authenticate`");
///     format!("Hello, {name}!")
/// }
///
/// let router = Router::new().route("/", get(greet)).layer(authenticate);
/// ```
#[derive(Debug, Default)]
pub struct Extensions {
    /// Boxed, so that a request without extensions is only a pointer larger.
    values: Option<Box<Values>>,
}

#[derive(Debug, Default)]
struct Values {
    list: Vec<Box<dyn Any>>,
}

impl Extensions {
    /// Attaches a value. Returns the value of this type that was attached before.
    pub fn insert<T: 'static>(&mut self, value: T) -> Option<T> {
        if let Some(known) = self.get_mut() {
            return Some(std::mem::replace(known, value));
        }
        self.values.get_or_insert_default().list.push(Box::new(value));
        None
    }

    /// Returns the value of this type, if one is attached.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.values.as_ref()?.list.iter().find_map(|value| value.downcast_ref())
    }

    /// Returns the value of this type, mutably, if one is attached.
    #[must_use]
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.values.as_mut()?.list.iter_mut().find_map(|value| value.downcast_mut())
    }

    /// Detaches the value of this type and returns it, if one is attached.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        let list = &mut self.values.as_mut()?.list;
        let index = list.iter().position(|value| value.is::<T>())?;
        list.swap_remove(index).downcast().ok().map(|value| *value)
    }

    /// Drops all values. Inlined, since most requests have none.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.values.is_some() {
            self.values = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_type_until_it_is_removed() {
        let mut extensions = Extensions::default();
        assert_eq!(extensions.get::<u8>(), None);
        assert_eq!(extensions.remove::<u8>(), None);
        assert_eq!((extensions.insert(1_u8), extensions.insert("one")), (None, None));
        assert_eq!(extensions.insert(2_u8), Some(1));
        *extensions.get_mut::<u8>().unwrap() += 1;
        assert_eq!((extensions.get(), extensions.get()), (Some(&3_u8), Some(&"one")));
        assert_eq!((extensions.remove(), extensions.get::<u8>()), (Some(3_u8), None));
        assert_eq!(extensions.get(), Some(&"one"));
        extensions.clear();
        assert_eq!(extensions.get::<&str>(), None);
    }
}
