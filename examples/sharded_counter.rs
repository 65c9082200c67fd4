//! Counters without locks: each key belongs to one loop, and the others send their additions there.
//!
//! ```text
//! cargo run --release --example sharded_counter
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;

use brigade::{EventLoopGroup, JoinError, LoopHandle};

thread_local! {
    /// This loop's shard: the counts of the keys that belong to it.
    static COUNTS: RefCell<HashMap<String, u64>> = RefCell::default();
}

/// A handle to all counters, for any loop or thread.
#[derive(Clone)]
struct Counters {
    loops: Vec<LoopHandle>,
}

impl Counters {
    /// Returns the loop to which `key` belongs.
    fn home(&self, key: &str) -> &LoopHandle {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(key);
        &self.loops[hash as usize % self.loops.len()]
    }

    /// Adds to the count of `key`, on its loop, and returns the new count.
    async fn add(&self, key: String, amount: u64) -> Result<u64, JoinError> {
        let home = self.home(&key).clone();
        let add = move || async move {
            COUNTS.with_borrow_mut(|counts| {
                let count = counts.entry(key).or_default();
                *count += amount;
                *count
            })
        };
        home.spawn(add).await
    }

    /// Returns the sum over all keys. Sends one call to each loop.
    async fn sum(&self) -> Result<u64, JoinError> {
        let share = || async { COUNTS.with_borrow(|counts| counts.values().sum::<u64>()) };
        let shares: Vec<_> = self.loops.iter().map(|handle| handle.spawn(share)).collect();
        let mut sum = 0;
        for share in shares {
            sum += share.await?;
        }
        Ok(sum)
    }
}

/// Starts `loops` loops that each add one to each of `keys` counters, and returns the sum.
pub(crate) fn count(loops: usize, keys: usize) -> io::Result<u64> {
    let group = EventLoopGroup::builder()
        .loops(loops)
        .start(vec![(); loops], |_, ()| std::future::pending::<()>())?;
    let counters = Counters { loops: group.handles().cloned().collect() };
    let sum = brigade::run(async move {
        let counting = counters.loops.iter().map(|handle| {
            let counters = counters.clone();
            handle.spawn(move || async move {
                for key in 0..keys {
                    counters.add(format!("key {key}"), 1).await?;
                }
                Ok::<_, JoinError>(())
            })
        });
        for counted in counting.collect::<Vec<_>>() {
            counted.await??;
        }
        counters.sum().await
    });
    group.handles().for_each(LoopHandle::stop);
    sum.map_err(io::Error::other)
}

#[allow(dead_code, reason = "the test calls `count`")]
fn main() -> io::Result<()> {
    let loops = brigade::group::default_loops();
    println!("{loops} loops counted to {}", count(loops, 1000)?);
    Ok(())
}
