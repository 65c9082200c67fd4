//! A task's future and, once it is done, its outcome: one allocation behind one type.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::executor::join_error::JoinError;

pub(crate) type BoxCoroutine = Pin<Box<dyn Coroutine>>;

/// A task's future without its type.
pub(crate) trait Coroutine {
    /// Polls the future. When it is ready, drops it and keeps its output as the outcome.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Drops the future, and keeps `error` as the outcome.
    fn fail(self: Pin<&mut Self>, error: JoinError);

    /// Moves the outcome into `place`, an `Option<Result<T, JoinError>>` where `T` is the
    /// future's output.
    fn take_outcome(self: Pin<&mut Self>, place: &mut dyn Any);

    /// Returns the outcome if it is a panic.
    fn panic(&self) -> Option<&JoinError>;
}

pin_project! {
    /// The two stages of a task.
    #[project = StageView]
    pub(crate) enum Stage<F: Future> {
        Running { #[pin] future: F },
        Finished { outcome: Option<Result<F::Output, JoinError>> },
    }
}

impl<F> Coroutine for Stage<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let StageView::Running { future } = self.as_mut().project() else {
            return Poll::Ready(());
        };
        let output = ready!(future.poll(cx));
        self.set(Self::Finished { outcome: Some(Ok(output)) });
        Poll::Ready(())
    }

    fn fail(mut self: Pin<&mut Self>, error: JoinError) {
        self.set(Self::Finished { outcome: Some(Err(error)) });
    }

    fn take_outcome(self: Pin<&mut Self>, place: &mut dyn Any) {
        let place = place.downcast_mut().expect("a handle knows the type of its task's output");
        if let StageView::Finished { outcome } = self.project() {
            *place = outcome.take();
        }
    }

    fn panic(&self) -> Option<&JoinError> {
        match self {
            Self::Finished { outcome: Some(Err(error)) } if error.is_panic() => Some(error),
            _ => None,
        }
    }
}
