//! Bodies whose end is reported.

use std::mem;

use crate::message::body::{Body, BodyKind, ObservedBody};
use crate::message::observer::Observer;

impl Body {
    /// Adds an observer. The connection takes it when it sends the body. If a layer reads the body
    /// instead, what it has read counts as sent.
    pub(crate) fn observe(&mut self, observer: Observer) {
        let body = mem::take(self);
        self.kind = BodyKind::Observed(Box::new(ObservedBody { body, observer }));
    }

    /// Replaces the body. Those who observed it observe the new one.
    pub(crate) fn replace(&mut self, change: impl FnOnce(Self) -> Self) {
        match &mut self.kind {
            BodyKind::Observed(observed) => observed.body.replace(change),
            kind => *self = change(Self { kind: mem::take(kind) }),
        }
    }

    /// Removes the observer that was added last.
    pub(crate) fn take_observer(&mut self) -> Option<Observer> {
        match mem::take(&mut self.kind) {
            BodyKind::Observed(observed) => {
                let ObservedBody { body, observer } = *observed;
                *self = body;
                Some(observer)
            }
            kind => {
                self.kind = kind;
                None
            }
        }
    }
}
