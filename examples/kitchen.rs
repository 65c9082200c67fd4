//! Cooks three dishes, one after another and then all at once, to show what waiting costs.
//!
//! ```text
//! cargo run --example kitchen
//! ```
//!
//! prints
//!
//! ```text
//! one after another
//!   rice: on the stove
//!   rice: ready
//!   soup: on the stove
//!   soup: ready
//!   eggs: on the stove
//!   eggs: ready
//! rice (15 minutes), soup (10 minutes), eggs (5 minutes) after 61 ms
//! all at once
//!   rice: on the stove
//!   soup: on the stove
//!   eggs: on the stove
//!   eggs: ready
//!   soup: ready
//!   rice: ready
//! rice (15 minutes), soup (10 minutes), eggs (5 minutes) after 30 ms
//! ```

use std::time::Duration;

use brigade::time::{now, sleep};
use brigade::{gather, run};

/// How long a minute of the recipes takes here.
const MINUTE: Duration = Duration::from_millis(2);

async fn cook(dish: &str, minutes: u32) -> String {
    println!("  {dish}: on the stove");
    sleep(minutes * MINUTE).await;
    println!("  {dish}: ready");
    format!("{dish} ({minutes} minutes)")
}

fn main() {
    run(async {
        println!("one after another");
        let began = now();
        let dishes = [cook("rice", 15).await, cook("soup", 10).await, cook("eggs", 5).await];
        println!("{} after {} ms", dishes.join(", "), (now() - began).as_millis());

        println!("all at once");
        let began = now();
        let dishes = gather([cook("rice", 15), cook("soup", 10), cook("eggs", 5)]).await;
        println!("{} after {} ms", dishes.join(", "), (now() - began).as_millis());
    });
}
