//! Counters without locks: each key belongs to one loop, and the others send their additions there.
//!
//! ```text
//! cargo run --release --example sharded_counter
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use brigade::{EventLoopGroup, JoinError, LoopHandle, Loops};

thread_local! {
    /// This loop's shard: the counts of the keys that belong to it.
    static COUNTS: RefCell<HashMap<String, u64>> = RefCell::default();
}

/// Adds to the count of `key`, on its loop, and returns the new count.
async fn add(key: String, amount: u64) -> Result<u64, JoinError> {
    let loops = Loops::current();
    let owner = loops.by_key(&key);
    let add = move || async move {
        COUNTS.with_borrow_mut(|counts| {
            let count = counts.entry(key).or_default();
            *count += amount;
            *count
        })
    };
    loops.spawn_on(owner, add).await
}

/// Returns the sum over all keys. Sends one task to each loop.
async fn sum() -> Result<u64, JoinError> {
    let share = || async { COUNTS.with_borrow(|counts| counts.values().sum::<u64>()) };
    Loops::current().on_each(share).await.into_iter().sum()
}

/// Adds one to each of `keys` counters, on every loop, and returns the sum.
async fn count_on_each(keys: usize) -> Result<u64, JoinError> {
    let count = move || async move {
        for key in 0..keys {
            add(format!("key {key}"), 1).await?;
        }
        Ok(())
    };
    for counted in Loops::current().on_each(count).await {
        counted??;
    }
    sum().await
}

/// Starts `loops` loops that each add one to each of `keys` counters, and returns the sum.
pub(crate) fn count(loops: usize, keys: usize) -> io::Result<u64> {
    let group = EventLoopGroup::builder()
        .loops(loops)
        .start(vec![(); loops], |_, ()| std::future::pending::<()>())?;
    let mut handles = group.handles();
    let first = handles.next().expect("a group has at least one loop");
    let sum = first.spawn(move || count_on_each(keys)).join().and_then(|sum| sum);
    group.handles().for_each(LoopHandle::stop);
    sum.map_err(io::Error::other)
}

#[allow(dead_code, reason = "the test calls `count`")]
fn main() -> io::Result<()> {
    let loops = brigade::group::default_loops();
    println!("{loops} loops counted to {}", count(loops, 1000)?);
    Ok(())
}
