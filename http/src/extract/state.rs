//! The state of the application as an argument.

use std::any::type_name;

use http::StatusCode;

use crate::extract::from_request::FromRequestParts;
use crate::message::handler_error::HandlerError;
use crate::message::request::Request;
use crate::message::states::Requirements;

/// A copy of the state of type `T` that the router has, set by
/// [`Router::with_state`](crate::Router::with_state).
///
/// Each loop has its own router and so its own state, which is usually an `Rc`. A router without
/// the state of one of its handlers fails when the server starts.
///
/// # Examples
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// use brigade_http::{Router, State, get};
///
/// type Names = Rc<RefCell<Vec<String>>>;
///
/// async fn count(State(names): State<Names>) -> String {
///     names.borrow().len().to_string()
/// }
///
/// let router = Router::new().route("/count", get(count)).with_state(Names::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T: Clone + 'static> FromRequestParts for State<T> {
    type Rejection = HandlerError;

    async fn from_request_parts(request: &mut Request) -> Result<Self, HandlerError> {
        request.state().cloned().map(Self).ok_or_else(|| {
            let missing = format!("the router has no state {}", type_name::<T>());
            HandlerError::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_context(missing)
        })
    }

    fn requirements(requirements: &mut Requirements) {
        requirements.state::<T>();
    }
}
