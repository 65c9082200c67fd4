//! The example with one shard of state on each loop.
#![forbid(unsafe_code)]

#[path = "../examples/sharded_counter.rs"]
mod sharded_counter;

#[test]
fn every_loop_counts_on_the_loop_of_the_key_and_nothing_is_lost() {
    assert_eq!(sharded_counter::count(3, 200).unwrap(), 600);
}
