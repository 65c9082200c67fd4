//! The route that a request matched, with its options.

use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::Note;

use crate::message::states::States;

/// The route that a request matched.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) pattern: Box<str>,
    /// The pattern, for reports of a loop that is stuck in a handler.
    pub(crate) note: Note,
    /// The names of the parameters.
    pub(crate) params: Box<[Box<str>]>,
    pub(crate) options: RouteOptions,
    /// What its handlers and layers receive by `State`.
    pub(crate) states: Rc<States>,
}

/// Options of a route; `None` stands for the server's option.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RouteOptions {
    pub(crate) body_bytes_max: Option<u64>,
    pub(crate) detaches_on_disconnect: bool,
    pub(crate) body_gap: Option<Duration>,
    pub(crate) body_bytes_per_second_min: Option<u32>,
    pub(crate) write_bytes_per_second_min: Option<u32>,
    pub(crate) timeout: Option<Duration>,
}
