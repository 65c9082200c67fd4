//! The manual clock of a server's loop, moved by a test.

use std::sync::mpsc;
use std::time::Duration;

use brigade_http::{BodyError, Bytes, Request};
use brigade_runtime::{task, time};

use super::PATIENCE;

/// A time that has to pass on the loop, and the channel on which to report that it has.
pub type Order = (Duration, mpsc::Sender<()>);

/// Returns a handler that collects the body of its request, and reports how many seconds that took.
pub fn collect_timed(
    waited: mpsc::Sender<u64>,
) -> impl AsyncFn(Request) -> Result<Bytes, BodyError> + Clone + 'static {
    async move |mut request: Request| {
        let began = time::now();
        let body = request.body_mut().collect(10_000).await;
        waited.send((time::now() - began).as_secs()).unwrap();
        body
    }
}

/// Keeps the loop busy, except while time has to pass.
pub async fn keep_time(orders: mpsc::Receiver<Order>) {
    loop {
        match orders.try_recv() {
            Ok((duration, passed)) => {
                time::sleep(duration).await;
                passed.send(()).unwrap();
            }
            Err(mpsc::TryRecvError::Empty) => task::yield_now().await,
            Err(mpsc::TryRecvError::Disconnected) => return,
        }
    }
}

/// Lets time pass on the loop that [`keep_time`] runs on.
pub fn let_pass(duration: Duration, orders: &mpsc::Sender<Order>) {
    let (passed, has_passed) = mpsc::channel();
    orders.send((duration, passed)).unwrap();
    has_passed.recv_timeout(PATIENCE).unwrap();
}
