//! The example `sharded_counter`, as a module.
#![forbid(unsafe_code)]

#[path = "../examples/sharded_counter.rs"]
mod sharded_counter;

#[test]
fn increments_from_every_loop_reach_the_loop_that_owns_the_key() {
    assert_eq!(sharded_counter::count(3, 200).unwrap(), 600);
}
