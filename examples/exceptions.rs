//! Three ways to handle tasks that fail: one by one, all outcomes together, and all or nothing.
//!
//! ```text
//! cargo run --example exceptions
//! ```
//!
//! prints (and the message of each panic on stderr)
//!
//! ```text
//! 1. one by one, where each task is awaited
//!    rice is served
//!    an error: nobody cooks a stone
//!    a panic: true
//! 2. all outcomes together, like gather(return_exceptions=True)
//!    1 of 3 are served
//! 3. all or nothing: the first failure cancels the rest
//!    task group failed: nobody cooks a stone
//! ```

use std::time::Duration;

use brigade::time::sleep;
use brigade::{TaskGroup, gather, run, spawn};

async fn order(dish: &'static str) -> Result<&'static str, String> {
    match dish {
        "stone" => Err(format!("nobody cooks a {dish}")),
        "fugu" => panic!("the cook ran away"),
        _ => {
            sleep(Duration::from_millis(10)).await;
            Ok(dish)
        }
    }
}

fn main() {
    run(async {
        println!("1. one by one, where each task is awaited");
        for dish in ["rice", "stone", "fugu"] {
            match spawn(order(dish)).await {
                Ok(Ok(dish)) => println!("   {dish} is served"),
                Ok(Err(error)) => println!("   an error: {error}"),
                Err(error) => println!("   a panic: {}", error.is_panic()),
            }
        }

        println!("2. all outcomes together, like gather(return_exceptions=True)");
        let outcomes = gather(["rice", "stone", "fugu"].map(|dish| spawn(order(dish)))).await;
        let served = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Ok(_)))).count();
        println!("   {served} of {} are served", outcomes.len());

        println!("3. all or nothing: the first failure cancels the rest");
        let meal = TaskGroup::run(async |group: &TaskGroup<String>| {
            let rice = group.spawn(order("rice"));
            group.spawn(order("stone"));
            let rice = rice.await;
            println!("   not reached");
            Ok(rice)
        });
        println!("   {}", meal.await.expect_err("nobody cooks a stone"));
    });
}
