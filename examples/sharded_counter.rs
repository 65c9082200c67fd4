//! Counters that need no lock: each key lives on one loop, and whoever wants to count sends the
//! work there.
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
    /// This loop's shard: the counts of the keys that live here.
    static COUNTS: RefCell<HashMap<String, u64>> = RefCell::default();
}

/// The counters, as any loop or thread knows them.
#[derive(Clone)]
struct Counters {
    loops: Vec<LoopHandle>,
}

impl Counters {
    /// The loop on which `key` lives: the same for everybody.
    fn home(&self, key: &str) -> &LoopHandle {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(key);
        &self.loops[hash as usize % self.loops.len()]
    }

    /// Adds to the count of `key`, on its loop. Returns the new count.
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

    /// The sum over all keys: every loop is asked for its share.
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

/// Has each of `loops` loops add one to each of `keys` counters. Returns their sum.
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

#[allow(dead_code, reason = "the test counts for itself")]
fn main() -> io::Result<()> {
    let loops = brigade::group::default_loops();
    println!("{loops} loops counted to {}", count(loops, 1000)?);
    Ok(())
}
