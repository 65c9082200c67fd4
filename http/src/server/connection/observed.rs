//! The responses whose end is reported: how much of each the socket has accepted.
//!
//! ```text
//!   begin ──► count, for each part ──► end ──► note_written, until all of it was accepted
//! ```
//!
//! Positions are in the bytes that the connection writes. They begin anywhere.

use std::collections::VecDeque;

use http::StatusCode;

use crate::message::observer::Observer;

/// The observed responses of one connection. Dropping it reports what was not sent.
#[derive(Default)]
pub(super) struct ObservedResponses {
    /// The observers of the current response.
    current: Vec<Observer>,
    /// The end of what was queued for the current response.
    position: u64,
    /// Responses that are complete but not written, each with the position of its end.
    queued: VecDeque<(u64, Observer)>,
    /// The position up to which the socket has accepted bytes.
    written: u64,
}

impl ObservedResponses {
    pub(super) fn add(&mut self, observer: Observer) {
        self.current.push(observer);
    }

    /// Notes the head of the current response, and the length of a body that is sent with it.
    pub(super) fn begin(&mut self, status: StatusCode, bytes: u64) {
        self.current.iter_mut().for_each(|observer| observer.begin(status, bytes));
    }

    /// Notes a part of the current response's body. After it, `queued` bytes wait for the socket.
    pub(super) fn count(&mut self, bytes: usize, queued: usize) {
        self.position = self.written + queued as u64;
        self.current.iter_mut().for_each(|observer| observer.count(bytes as u64));
    }

    /// Notes that the current response is complete. `queued` bytes wait for the socket.
    pub(super) fn end(&mut self, queued: usize) {
        let position = self.written + queued as u64;
        self.queued.extend(self.current.drain(..).map(|observer| (position, observer)));
        self.report();
    }

    /// Notes that the socket has accepted bytes.
    pub(super) fn note_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.report();
    }

    /// Reports the responses that were written to their end.
    fn report(&mut self) {
        while self.queued.front().is_some_and(|(position, _)| *position <= self.written) {
            if let Some((_, observer)) = self.queued.pop_front() {
                observer.complete();
            }
        }
    }
}

impl Drop for ObservedResponses {
    fn drop(&mut self) {
        for (position, observer) in self.queued.drain(..) {
            observer.abandon(position.saturating_sub(self.written));
        }
        for observer in self.current.drain(..) {
            observer.abandon(self.position.saturating_sub(self.written));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::message::observer::ResponseEnd;

    type Ends = Rc<RefCell<Vec<ResponseEnd>>>;

    fn observer(ends: &Ends, is_head: bool) -> Observer {
        let ends = ends.clone();
        Observer::new(is_head, StatusCode::OK, move |end| ends.borrow_mut().push(*end))
    }

    fn ended(ends: &Ends) -> Vec<(u64, bool)> {
        ends.take().iter().map(|end| (end.bytes, end.is_complete)).collect()
    }

    #[test]
    fn a_response_is_complete_when_its_last_byte_was_written() {
        let (ends, mut observed) = (Ends::default(), ObservedResponses::default());
        for body in [10, 20] {
            observed.add(observer(&ends, false));
            observed.begin(StatusCode::OK, body);
            // Each has a head of 100 bytes.
            observed.end(if body == 10 { 110 } else { 230 });
        }
        observed.note_written(109);
        assert_eq!(ended(&ends), []);
        observed.note_written(1);
        assert_eq!(ended(&ends), [(10, true)]);
        observed.note_written(105);
        drop(observed);
        // Of the second one 5 of 20 bytes.
        assert_eq!(ended(&ends), [(5, false)]);
    }

    #[test]
    fn parts_that_were_not_written_do_not_count() {
        let (ends, mut observed) = (Ends::default(), ObservedResponses::default());
        observed.add(observer(&ends, false));
        observed.begin(StatusCode::OK, 0);
        observed.count(50, 150);
        observed.note_written(150);
        observed.count(1000, 1000);
        observed.note_written(300);
        drop(observed);
        assert_eq!(ended(&ends), [(350, false)]);
        // Not even the head.
        let mut observed = ObservedResponses::default();
        observed.add(observer(&ends, false));
        observed.begin(StatusCode::OK, 50);
        observed.end(150);
        observed.note_written(70);
        drop(observed);
        assert_eq!(ended(&ends), [(0, false)]);
    }

    #[test]
    fn responses_without_a_body_have_no_bytes() {
        for (is_head, status) in [(true, 200), (false, 204), (false, 304), (false, 101)] {
            let (ends, mut observed) = (Ends::default(), ObservedResponses::default());
            observed.add(observer(&ends, is_head));
            observed.begin(StatusCode::from_u16(status).unwrap(), 50);
            observed.end(0);
            assert_eq!(ends.borrow()[0].status, status);
            assert_eq!(ended(&ends), [(0, true)]);
        }
    }
}
