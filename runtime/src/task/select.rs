//! Waiting for the first of several futures: the macro `select!` and what it expands to.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Waits for the first of several futures, and then runs the code of its branch. The other futures
/// are dropped before that, which cancels them.
///
/// A branch is `pattern = future => code`. The code is part of the surrounding function: it may
/// await, `break`, `return` and use `?`, and it may use what the futures have borrowed. The value
/// of the code is the value of the macro.
///
/// Futures are polled in the order of the branches, so if several are ready, the first of them
/// wins. A branch that is always ready does not starve the others in a loop: once it has spent the
/// [budget](crate::task#cooperation) of the task, the others get their turn. That holds for all
/// operations of this crate.
///
/// To continue with a future in the next turn of a loop, pin it outside of the loop and pass it by
/// `&mut`; then it is not dropped.
///
/// The patterns must match every output. To wait for a list of futures, use
/// `futures_util::stream::FuturesUnordered`; for all of several futures, [`gather`](crate::gather).
///
/// # Cancel safety
/// If the surrounding future is dropped, so are all futures. The futures that lose are dropped,
/// too, so in a loop they should be cancel safe: those of this crate say whether they are.
///
/// # Examples
/// A task that serves orders until it has had nothing to do for a while, or is stopped:
///
/// ```
/// use std::pin::pin;
/// use std::time::Duration;
/// use brigade_runtime::{local, oneshot, select, time::sleep};
///
/// async fn serve(mut orders: local::Receiver<u32>, stop: oneshot::Receiver<()>) -> u32 {
///     let mut stop = pin!(stop);
///     let mut served = 0;
///     loop {
///         select! {
///             _ = &mut stop => return served,
///             order = orders.recv() => match order {
///                 Some(order) => served += order,
///                 None => return served,
///             },
///             () = sleep(Duration::from_secs(60)) => {
///                 println!("no orders for a minute");
///                 return served;
///             }
///         }
///     }
/// }
///
/// # let event_loop = brigade_runtime::EventLoop::builder().manual_clock(true).build();
/// # event_loop.unwrap().run_until_complete(async {
/// let (orders, receiver) = local::channel(8);
/// let (_stop, stopped) = oneshot::channel();
/// orders.send(2).await.unwrap();
/// orders.send(3).await.unwrap();
/// assert_eq!(serve(receiver, stopped).await, 5);
/// # });
/// ```
#[macro_export]
macro_rules! select {
    // Sorts the branches into lists, of futures and of patterns with their code.
    (@branches [$($future:tt)*] [$($arm:tt)*]) => {{
        // Not the subject of the `match`, so that the futures are dropped before it.
        let output = $crate::select!(@race $($future)*).await;
        $crate::select!(@match output, $($arm)*)
    }};
    (@branches $futures:tt $arms:tt $pattern:pat = $future:expr => $code:block, $($rest:tt)*) => {
        $crate::select!(@add $futures $arms ($future) ($pattern => $code) $($rest)*)
    };
    (@branches $futures:tt $arms:tt $pattern:pat = $future:expr => $code:block $($rest:tt)*) => {
        $crate::select!(@add $futures $arms ($future) ($pattern => $code) $($rest)*)
    };
    (@branches $futures:tt $arms:tt $pattern:pat = $future:expr => $code:expr, $($rest:tt)*) => {
        $crate::select!(@add $futures $arms ($future) ($pattern => $code) $($rest)*)
    };
    (@branches $futures:tt $arms:tt $pattern:pat = $future:expr => $code:expr) => {
        $crate::select!(@add $futures $arms ($future) ($pattern => $code))
    };
    (@add [$($futures:tt)*] [$($arms:tt)*] $future:tt $arm:tt $($rest:tt)*) => {
        $crate::select!(@branches [$($futures)* $future] [$($arms)* $arm] $($rest)*)
    };

    // A future whose output says which of the futures was the first.
    (@race ($future:expr)) => { $future };
    (@race ($future:expr) $($rest:tt)+) => {
        $crate::task::select::race($future, $crate::select!(@race $($rest)+))
    };

    (@match $output:ident, ($pattern:pat => $code:expr)) => {
        match $output { $pattern => $code }
    };
    (@match $output:ident, ($pattern:pat => $code:expr) $($rest:tt)+) => {
        match $output {
            $crate::task::select::Either::First($pattern) => $code,
            $crate::task::select::Either::Rest(output) => {
                $crate::select!(@match output, $($rest)+)
            }
        }
    };

    () => { ::core::compile_error!("`select!` needs at least one branch") };
    ($($branches:tt)+) => { $crate::select!(@branches [] [] $($branches)+) };
}

/// Which of two futures was ready first.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first one.
    First(A),
    /// One of the rest.
    Rest(B),
}

/// Returns a future that is ready with the first of the two. If both are ready, that is `first`.
pub fn race<A: IntoFuture, B: IntoFuture>(first: A, rest: B) -> Race<A::IntoFuture, B::IntoFuture> {
    Race { first: first.into_future(), rest: rest.into_future() }
}

pin_project! {
    /// The future of [`race`].
    #[derive(Debug)]
    #[must_use]
    pub struct Race<A, B> {
        #[pin]
        first: A,
        #[pin]
        rest: B,
    }
}

impl<A: Future, B: Future> Future for Race<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.first.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Either::First(output)),
            Poll::Pending => this.rest.poll(cx).map(Either::Rest),
        }
    }
}
