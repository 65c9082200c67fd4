//! Responses in pieces, each sent when it is due.

use std::convert::Infallible;
use std::ops::Range;
use std::time::{Duration, Instant};

use brigade::time::{now, sleep_until};
use bytes::Bytes;
use futures_util::stream::{self, Stream};

/// How many overdue pieces are sent as one.
const PIECES_AT_ONCE_MAX: u64 = 1024;

/// When the pieces of a response are due: the first one at once, the last one at the end.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    pause: Duration,
    count: u64,
    sent: u64,
}

impl Pace {
    /// `count` pieces over `duration`.
    pub(crate) fn new(count: u64, duration: Duration) -> Self {
        Self { start: now(), pause: pause(count, duration), count, sent: 0 }
    }

    /// Waits until the next piece is due, and returns all that are; `None` after the last one.
    async fn next(&mut self) -> Option<Range<u64>> {
        if self.sent == self.count {
            return None;
        }
        let first = self.sent;
        let pause = self.pause.as_nanos();
        // Less than the whole duration, which came from 64 bits.
        let wait = Duration::from_nanos((pause * u128::from(first)) as u64);
        if now() < self.start + wait {
            sleep_until(self.start + wait).await;
        }
        let passed = now().saturating_duration_since(self.start).as_nanos();
        let due = passed.checked_div(pause).map_or(self.count, |pauses| pauses as u64 + 1);
        self.sent = due.min(first + PIECES_AT_ONCE_MAX).clamp(first + 1, self.count);
        Some(first..self.sent)
    }
}

/// Returns the time between two of `count` pieces that take `duration` together. There is no pause
/// after the last.
pub(crate) fn pause(count: u64, duration: Duration) -> Duration {
    match count.saturating_sub(1).try_into() {
        Ok(0) | Err(_) => duration,
        Ok(pauses) => duration / pauses,
    }
}

/// Returns a body whose data is made by `piece` from the range of pieces that are due.
pub(crate) fn pieces<F>(pace: Pace, piece: F) -> impl Stream<Item = Result<Bytes, Infallible>>
where
    F: FnMut(Range<u64>) -> Bytes + 'static,
{
    stream::unfold((pace, piece), |(mut pace, mut piece)| async move {
        let due = pace.next().await?;
        Some((Ok(piece(due)), (pace, piece)))
    })
}
