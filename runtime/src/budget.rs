//! A limit on what a task does in one poll, so that no task holds its loop by being ready all the
//! time.
//!
//! Every leaf operation that completes at once takes units of the budget: a receive from a channel
//! takes one, a read, a write or an accept takes four. Once the budget is spent, the operation is
//! put off: it wakes its task and returns `Pending`. So the task goes to the end of the ready
//! queue, the turn ends after the batch, and other tasks, timers and the selector get their turn.
//! Each poll of a task begins with a whole budget. Outside of polls there is no limit.
//!
//! # Several futures in one task
//! A future that is always ready would take the whole budget of each poll, and the futures that a
//! combinator polls after it would get nothing, for ever. Therefore each operation that is put off
//! leaves one unit for the next one: it returned `Pending`, so the next one belongs to another
//! future. These extra units are limited too, because a loop over two sources polls one after the
//! other without end as long as one of them is ready.
//!
//! Sleeps take no units. So a timeout ends whatever its future does.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

/// How many operations within the loop a task completes in one poll: they take about as long as the
/// turn that follows. 64 is also how many tasks are polled before the loop looks for I/O, and how
/// many requests an HTTP connection handles in one poll. tokio's budget is 128.
const UNITS: u64 = 64;

/// How many units an operation of a socket takes. It is a system call, and takes one to ten
/// microseconds. 16 of them hold the loop for less than a fifth of a millisecond, and the turn that
/// follows costs about as much as one.
const SOCKET_UNITS: u64 = 4;

/// How many operations more may complete in one poll, each after another one was put off. A
/// `join_all` polls up to 30 futures in a fixed order; all of them make progress.
const EXTRA_UNITS: u32 = 32;

/// More than a thread can use.
const UNLIMITED: u64 = u64::MAX;

struct Budget {
    /// How many operations may still complete.
    left: Cell<u64>,
    /// How many units may still be added after `left` is spent.
    extra: Cell<u32>,
    /// An operation was put off since the last [`take_put_off`].
    put_off: Cell<bool>,
}

thread_local! {
    /// The budget of the task that this thread polls.
    static BUDGET: Budget = const {
        Budget { left: Cell::new(UNLIMITED), extra: Cell::new(0), put_off: Cell::new(false) }
    };
}

/// Sets the number of units back to `before` when it is dropped, also by a panic.
#[must_use]
pub(crate) struct Limit {
    before: u64,
}

impl Drop for Limit {
    fn drop(&mut self) {
        BUDGET.with(|budget| budget.left.set(self.before));
    }
}

/// Begins the poll of a task, with a whole budget until the result is dropped.
#[inline(always)]
pub(crate) fn begin_poll() -> Limit {
    BUDGET.with(|budget| {
        budget.left.set(UNITS);
        budget.extra.set(EXTRA_UNITS);
    });
    Limit { before: UNLIMITED }
}

/// Lifts the limit until the result is dropped, for a poll with a waker that wakes no task.
pub(crate) fn lift() -> Limit {
    BUDGET.with(|budget| Limit { before: budget.left.replace(UNLIMITED) })
}

/// Returns `true` if an operation was put off since the last call.
pub(crate) fn take_put_off() -> bool {
    BUDGET.with(|budget| budget.put_off.take())
}

/// Takes one unit of the budget of the task that is being polled. If none is left, wakes the task
/// and returns `Pending`; the caller must then return `Pending` too.
///
/// For futures that complete without awaiting an operation of this crate. Each poll of a task
/// begins with a whole budget. Outside of tasks the budget has no limit.
///
/// # Examples
/// ```
/// use std::future::poll_fn;
/// use std::task::{Poll, ready};
/// use brigade_runtime::task;
///
/// /// Is always ready, and yet lets other tasks run.
/// async fn next(numbers: &mut impl Iterator<Item = u32>) -> Option<u32> {
///     poll_fn(|cx| {
///         ready!(task::poll_proceed(cx));
///         Poll::Ready(numbers.next())
///     })
///     .await
/// }
///
/// assert_eq!(brigade_runtime::run(async { next(&mut (7..9)).await }), Some(7));
/// ```
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    poll_counted(cx, |_| Poll::Ready(()))
}

/// Takes one unit of the task's budget, and lets other tasks run first if none is left. For loops
/// that compute for long or whose operations never wait. Costs a few instructions.
///
/// # Cancel safety
/// Cancel safe.
///
/// # Examples
/// ```
/// use brigade_runtime::task;
///
/// # brigade_runtime::run(async {
/// let mut sum = 0u64;
/// for n in 0..1_000 {
///     sum += n;
///     task::consume_budget().await;
/// }
/// # });
/// ```
pub async fn consume_budget() {
    poll_fn(poll_proceed).await;
}

/// Returns `true` if the task's budget for this poll is not spent. Always `true` outside of tasks.
#[must_use]
pub fn has_budget_remaining() -> bool {
    BUDGET.with(|budget| match budget.left.get() {
        0 => false,
        // Units that were added afterwards are meant for other futures of the task.
        1..=UNITS => budget.extra.get() == EXTRA_UNITS,
        _ => true,
    })
}

/// Polls `operation`, which takes one unit if it completes. If none is left, puts it off: wakes the
/// task, and does not poll `operation`.
#[inline(always)]
pub(crate) fn poll_counted<T>(
    cx: &mut Context<'_>,
    operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    poll_units(cx, 1, operation)
}

/// Takes the units of one operation of a socket. If none are left, wakes the task and returns
/// `Pending`.
#[inline]
pub(crate) fn poll_socket(cx: &mut Context<'_>) -> Poll<()> {
    poll_units(cx, SOCKET_UNITS, |_| Poll::Ready(()))
}

#[inline(always)]
fn poll_units<T>(
    cx: &mut Context<'_>,
    units: u64,
    operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    BUDGET.with(|budget| {
        if budget.left.get() == 0 {
            put_off(budget, cx);
            return Poll::Pending;
        }
        let output = ready!(operation(cx));
        // The operation may have taken the last units itself.
        budget.left.set(budget.left.get().saturating_sub(units));
        Poll::Ready(output)
    })
}

#[cold]
#[inline(never)]
fn put_off(budget: &Budget, cx: &Context<'_>) {
    budget.put_off.set(true);
    if let Some(extra) = budget.extra.get().checked_sub(1) {
        budget.extra.set(extra);
        budget.left.set(1);
    }
    cx.waker().wake_by_ref();
}
