//! Several futures at once, in the calling task.
//!
//! No task is spawned. The futures are polled by the task that awaits them, may borrow from it,
//! and are dropped with it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{maybe_done, try_maybe_done};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::budget;

/// Runs several futures at once and returns their outputs in the order of the futures, like
/// `asyncio.gather`. `futures` is a tuple of up to eight futures, an array or a `Vec`.
///
/// To run tasks and get a `Result` for each, as with asyncio's `return_exceptions=True`, gather
/// their join handles.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use brigade_runtime::{gather, time::sleep};
///
/// async fn cook(dish: &str, ms: u64) -> String {
///     sleep(Duration::from_millis(ms)).await;
///     format!("{dish} is ready")
/// }
///
/// brigade_runtime::run(async {
///     let (rice, eggs) = gather((cook("rice", 2), cook("eggs", 1))).await;
///     assert_eq!((rice.as_str(), eggs.as_str()), ("rice is ready", "eggs is ready"));
/// });
/// ```
pub async fn gather<G: Gather>(futures: G) -> G::Output {
    futures.gather().await
}

/// Runs all of `futures` at once and returns their outputs in the order of the futures. Each
/// future is polled only when it was woken.
///
/// # Examples
/// ```
/// let squares = brigade_runtime::run(brigade_runtime::gather_all((0..4).map(async |n| n * n)));
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
pub async fn gather_all<I>(futures: I) -> Vec<<I::Item as Future>::Output>
where
    I: IntoIterator<Item: Future>,
{
    let mut running = with_indices(futures);
    let mut outputs = Outputs::new(running.len());
    while let Some((index, output)) = next(&mut running).await {
        outputs.set(index, output);
    }
    outputs.into_vec()
}

/// Runs several futures at once until all have returned `Ok` or one has returned an error. Returns
/// the outputs in the order of the futures. `futures` is a tuple of up to eight futures, an array
/// or a `Vec`.
///
/// # Errors
/// The first error. The futures that are not done by then are dropped, which cancels them.
///
/// # Examples
/// ```
/// use brigade_runtime::try_gather;
///
/// brigade_runtime::run(async {
///     let parsed = try_gather((async { "1".parse::<u8>() }, async { "x".parse::<u8>() })).await;
///     assert!(parsed.is_err());
/// });
/// ```
pub async fn try_gather<G: TryGather>(futures: G) -> Result<G::Output, G::Error> {
    futures.try_gather().await
}

/// Runs all of `futures` at once until all have returned `Ok` or one has returned an error, like
/// [`try_gather`]. Each future is polled only when it was woken.
///
/// # Errors
/// The first error. The futures that are not done by then are dropped, which cancels them.
pub async fn try_gather_all<I, T, E>(futures: I) -> Result<Vec<T>, E>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let mut running = with_indices(futures);
    let mut outputs = Outputs::new(running.len());
    while let Some((index, result)) = next(&mut running).await {
        outputs.set(index, result?);
    }
    Ok(outputs.into_vec())
}

/// Waits for the next output. Takes one unit of the task's budget, since the futures may be ready
/// without awaiting anything.
async fn next<F: Future>(running: &mut FuturesUnordered<F>) -> Option<F::Output> {
    poll_fn(|cx| budget::poll_counted(cx, |cx| running.poll_next_unpin(cx))).await
}

/// Returns futures whose outputs come with the index of the future.
fn with_indices<I>(
    futures: I,
) -> FuturesUnordered<impl Future<Output = (usize, <I::Item as Future>::Output)>>
where
    I: IntoIterator<Item: Future>,
{
    let indexed = futures.into_iter().enumerate();
    indexed.map(|(index, future)| async move { (index, future.await) }).collect()
}

/// The outputs of several futures, set in any order.
struct Outputs<T>(Vec<Option<T>>);

impl<T> Outputs<T> {
    fn new(len: usize) -> Self {
        Self(std::iter::repeat_with(|| None).take(len).collect())
    }

    fn set(&mut self, index: usize, output: T) {
        self.0[index] = Some(output);
    }

    fn into_vec(self) -> Vec<T> {
        self.0.into_iter().map(|output| output.expect("all futures are done")).collect()
    }
}

/// A collection of futures for [`gather`]: a tuple of up to eight, an array or a `Vec`.
pub trait Gather {
    /// The outputs, in the order of the futures.
    type Output;

    /// Runs the futures at once. See [`gather`].
    fn gather(self) -> impl Future<Output = Self::Output>;
}

/// A collection of futures for [`try_gather`]: a tuple of up to eight, an array or a `Vec`.
pub trait TryGather {
    /// The outputs, in the order of the futures.
    type Output;
    /// The error type of all the futures.
    type Error;

    /// Runs the futures at once. See [`try_gather`].
    fn try_gather(self) -> impl Future<Output = Result<Self::Output, Self::Error>>;
}

impl<F: Future> Gather for Vec<F> {
    type Output = Vec<F::Output>;

    fn gather(self) -> impl Future<Output = Self::Output> {
        gather_all(self)
    }
}

impl<F: Future, const N: usize> Gather for [F; N] {
    type Output = [F::Output; N];

    async fn gather(self) -> Self::Output {
        array(gather_all(self).await)
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> TryGather for Vec<F> {
    type Output = Vec<T>;
    type Error = E;

    fn try_gather(self) -> impl Future<Output = Result<Vec<T>, E>> {
        try_gather_all(self)
    }
}

impl<F: Future<Output = Result<T, E>>, T, E, const N: usize> TryGather for [F; N] {
    type Output = [T; N];
    type Error = E;

    async fn try_gather(self) -> Result<[T; N], E> {
        try_gather_all(self).await.map(array)
    }
}

fn array<T, const N: usize>(outputs: Vec<T>) -> [T; N] {
    outputs.try_into().unwrap_or_else(|_| unreachable!("there is an output for each future"))
}

macro_rules! gather_tuples {
    ($($Future:ident $Output:ident $future:ident),+) => {
        impl<$($Future: Future),+> Gather for ($($Future,)+) {
            type Output = ($($Future::Output,)+);

            async fn gather(self) -> Self::Output {
                let ($($future,)+) = self;
                $(let mut $future = pin!(maybe_done($future));)+
                poll_fn(|cx| {
                    let mut pending = false;
                    $(pending |= $future.as_mut().poll(cx).is_pending();)+
                    if pending { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                ($($future.as_mut().take_output().expect("all futures are done"),)+)
            }
        }

        impl<Error, $($Output),+, $($Future),+> TryGather for ($($Future,)+)
        where
            $($Future: Future<Output = Result<$Output, Error>>),+
        {
            type Output = ($($Output,)+);
            type Error = Error;

            async fn try_gather(self) -> Result<Self::Output, Error> {
                let ($($future,)+) = self;
                $(let mut $future = pin!(try_maybe_done($future));)+
                poll_fn(|cx| {
                    let mut pending = false;
                    $(pending |= match $future.as_mut().poll(cx) {
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        poll => poll.is_pending(),
                    };)+
                    if pending { Poll::Pending } else { Poll::Ready(Ok(())) }
                })
                .await?;
                Ok(($($future.as_mut().take_output().expect("all futures are done"),)+))
            }
        }
    };
}

gather_tuples!(A O1 a);
gather_tuples!(A O1 a, B O2 b);
gather_tuples!(A O1 a, B O2 b, C O3 c);
gather_tuples!(A O1 a, B O2 b, C O3 c, D O4 d);
gather_tuples!(A O1 a, B O2 b, C O3 c, D O4 d, E O5 e);
gather_tuples!(A O1 a, B O2 b, C O3 c, D O4 d, E O5 e, F O6 f);
gather_tuples!(A O1 a, B O2 b, C O3 c, D O4 d, E O5 e, F O6 f, G O7 g);
gather_tuples!(A O1 a, B O2 b, C O3 c, D O4 d, E O5 e, F O6 f, G O7 g, H O8 h);
