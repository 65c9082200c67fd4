//! Bodies whose end is reported.

use std::mem;

use crate::message::body::{Body, BodyKind, ObservedBody};
use crate::message::observer::Observer;

impl Body {
    /// Adds an observer. The connection takes it when it sends the body. If a layer reads the body
    /// instead, what it has read counts as sent.
    pub(crate) fn observe(&mut self, mut observer: Observer) {
        let body = mem::take(self);
        if body.is_end() {
            // Nobody need read it.
            observer.note_end();
        }
        self.kind = BodyKind::Observed(Box::new(Observed { body, observer }));
    }

    /// Replaces the body. Those who observed it observe the new one.
    pub(crate) fn replace(&mut self, change: impl FnOnce(Self) -> Self) {
        match &mut self.kind {
            BodyKind::Observed(observed) => observed.parts_mut().0.replace(change),
            kind => *self = change(Self { kind: mem::take(kind) }),
        }
    }

    /// Removes the observer that was added last.
    pub(crate) fn take_observer(&mut self) -> Option<Observer> {
        match mem::take(&mut self.kind) {
            BodyKind::Observed(observed) => {
                let (body, observer) = observed.into_parts();
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

struct Observed {
    body: Body,
    observer: Observer,
}

impl ObservedBody for Observed {
    fn body(&self) -> &Body {
        &self.body
    }

    fn parts_mut(&mut self) -> (&mut Body, &mut Observer) {
        (&mut self.body, &mut self.observer)
    }

    fn into_parts(self: Box<Self>) -> (Body, Observer) {
        (self.body, self.observer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use http::StatusCode;

    use super::*;
    use crate::message::observer::Observer;

    /// Returns an observed body, and whether it was reported as complete.
    fn observed(mut body: Body) -> (Body, Rc<Cell<Option<bool>>>) {
        let reported = Rc::new(Cell::new(None));
        let report = reported.clone();
        body.observe(Observer::new(false, StatusCode::OK, move |end| {
            report.set(Some(end.is_complete));
        }));
        (body, reported)
    }

    #[test]
    fn a_body_is_complete_once_its_last_byte_is_read() {
        brigade_runtime::run(async {
            let (mut body, reported) = observed(Body::from("abc"));
            assert_eq!(body.chunk().await.unwrap().unwrap(), "abc");
            drop(body);
            assert_eq!(reported.get(), Some(true));
            let (body, reported) = observed(Body::from("abc"));
            drop(body);
            assert_eq!(reported.get(), Some(false));
        });
    }

    #[test]
    fn an_empty_body_is_complete_without_being_read() {
        let (body, reported) = observed(Body::empty());
        drop(body);
        assert_eq!(reported.get(), Some(true));
    }
}
