//! The manual clock of a server's loop, moved by a test.

use std::sync::mpsc;
use std::time::Duration;

use brigade_runtime::{task, time};

use super::PATIENCE;

/// A time that has to pass on the loop, and the channel on which to report that it has.
pub type Order = (Duration, mpsc::Sender<()>);

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
