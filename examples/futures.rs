//! A future that is completed by hand: one task awaits it, another sends its value.
//!
//! ```text
//! cargo run --example futures
//! ```
//!
//! prints
//!
//! ```text
//! the guest waits; the meal is ready: false
//! the cook begins
//! the guest eats the soup
//! the guest waits; the meal is ready: false
//! the cook begins
//! the guest gets no meal: it burnt
//! the sender of a oneshot was dropped without sending a value
//! ```

use std::time::Duration;

use brigade::oneshot::{self, Sender};
use brigade::time::sleep;
use brigade::{run, spawn};

async fn cook(order: Sender<Result<&'static str, String>>, burnt: bool) {
    println!("the cook begins");
    sleep(Duration::from_millis(10)).await;
    // In asyncio: `set_exception` or `set_result`.
    let outcome = if burnt { Err("it burnt".to_owned()) } else { Ok("soup") };
    // An error would mean that the receiver was dropped.
    order.send(outcome).expect("the guest waits");
}

fn main() {
    run(async {
        for burnt in [false, true] {
            let (order, mut meal) = oneshot::channel();
            spawn(cook(order, burnt)).detach();
            println!("the guest waits; the meal is ready: {}", meal.try_recv() != Ok(None));
            match meal.await.expect("the cook sends an outcome") {
                Ok(meal) => println!("the guest eats the {meal}"),
                Err(reason) => println!("the guest gets no meal: {reason}"),
            }
        }
        let (order, meal) = oneshot::channel::<()>();
        drop(order);
        println!("{}", meal.await.expect_err("the sender is dropped"));
    });
}
