//! The timeouts of a request, and how fast its server is.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use brigade_runtime::time;

use crate::client::options::{CONTINUE_TIMEOUT, Options};
use crate::message::client_error::{ClientErrorKind, TimeoutKind};
use crate::transport::deadline::Deadline;
use crate::transport::pace::Pace;

/// How much of a wait for the server counts when its rate is judged.
const WAIT_COUNTED_MAX: Duration = Duration::from_secs(10);

/// What a request waits for, if that has a timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The stream that is the request's body, which has no timeout.
    #[default]
    Nothing,
    /// A 100.
    Continue,
    /// The server, to accept more of the request.
    Write,
    /// The head of the response.
    Head,
    /// More of the response's body.
    Body,
}

impl Waiting {
    /// Returns the timeout, and what it is a timeout of.
    const fn timeout(self, options: &Options) -> Option<(Option<TimeoutKind>, Duration)> {
        match self {
            Self::Nothing => None,
            Self::Continue => Some((None, CONTINUE_TIMEOUT)),
            Self::Write => Some((Some(TimeoutKind::Write), options.write_timeout)),
            Self::Head => Some((Some(TimeoutKind::Head), options.head_timeout)),
            Self::Body => Some((Some(TimeoutKind::Body), options.body_gap_timeout)),
        }
    }
}

/// The timeouts of a request.
pub(super) struct Waits {
    /// The timeout of the current wait.
    deadline: Deadline<Waiting>,
    /// How fast the server takes the request and sends the response's body.
    pace: Pace,
    /// The timeout of the whole exchange, and the instant at which it passes.
    total: Option<(Duration, Instant)>,
}

impl Waits {
    pub(super) fn new(total: Option<(Duration, Instant)>) -> Self {
        Self { deadline: Deadline::new(), pace: Pace::default(), total }
    }

    /// Returns what is waited for.
    pub(super) const fn waiting(&self) -> Waiting {
        self.deadline.waiting()
    }

    /// Returns since when it is waited for.
    #[cfg_attr(
        not(all(feature = "tls", feature = "http2")),
        expect(dead_code, reason = "no HTTP/2")
    )]
    pub(super) const fn since(&self) -> Instant {
        self.deadline.since()
    }

    /// Records that what was waited for has arrived.
    pub(super) fn stop(&mut self) {
        self.deadline.stop();
    }

    /// Records what is waited for, and sets the timer. Ready when a timeout passes.
    pub(super) fn poll_passed(
        &mut self,
        waiting: Waiting,
        options: &Options,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if waiting != self.deadline.waiting() {
            self.deadline.start(waiting);
        }
        let total = self.total.map(|(_, latest)| latest);
        let latest = [total, self.too_slow(options.body_rate)].into_iter().flatten().min();
        let timeout = waiting.timeout(options).map(|(_, timeout)| timeout);
        let passed = self.deadline.poll_passed_anywhere(timeout, latest, cx);
        if passed.is_pending() && waiting == Waiting::Write {
            self.deadline.wake_early(cx);
        }
        passed
    }

    /// Notes that bytes have gone or come.
    pub(super) fn note_progress(&mut self, waiting: Waiting, bytes: usize, rate: u32) {
        let mut waited = Duration::ZERO;
        if self.deadline.waiting() == waiting {
            // Longer waits are those of a caller that did something else meanwhile.
            waited = self.deadline.waited().min(WAIT_COUNTED_MAX);
            self.deadline.stop();
        }
        self.pace.note(waited, bytes, rate);
    }

    /// Returns when the server will be too slow on average, unless it takes or sends more before.
    fn too_slow(&self, rate: u32) -> Option<Instant> {
        match self.deadline.waiting() {
            Waiting::Write | Waiting::Body => self.pace.latest(self.deadline.since(), rate),
            Waiting::Nothing | Waiting::Continue | Waiting::Head => None,
        }
    }

    /// Returns an error if the request has taken too long in total.
    pub(super) fn check_total(&self) -> Result<(), ClientErrorKind> {
        match self.total {
            Some((limit, latest)) if time::now() >= latest => {
                Err(ClientErrorKind::Timeout(TimeoutKind::Total, limit))
            }
            _ => Ok(()),
        }
    }

    /// Returns the error of the timeout that has passed, unless the exchange continues after it.
    pub(super) fn check_passed(&self, options: &Options) -> Result<(), ClientErrorKind> {
        match self.deadline.waiting().timeout(options) {
            Some((Some(_), limit)) if self.deadline.waited() < limit => {
                Err(ClientErrorKind::TooSlow(options.body_rate))
            }
            Some((Some(waited), limit)) => Err(ClientErrorKind::Timeout(waited, limit)),
            None | Some((None, _)) => Ok(()),
        }
    }
}
