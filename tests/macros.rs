//! The attributes `#[brigade::main]` and `#[brigade::test]`, and `select!` through the facade.
#![cfg(feature = "macros")]
#![forbid(unsafe_code)]

use std::num::ParseIntError;
use std::time::{Duration, Instant};

use brigade::time::{now, sleep};
use brigade::{LoopHandle, spawn};

const HOUR: Duration = Duration::from_secs(3600);

/// A main function may have any name.
#[brigade::main]
async fn parse_sum() -> Result<i32, ParseIntError> {
    let one = spawn(async { "1".parse::<i32>() }).await.unwrap()?;
    let two = spawn(async { "2".parse::<i32>() }).await.unwrap()?;
    Ok(one + two)
}

#[brigade::main]
pub(crate) async fn fail() -> Result<(), ParseIntError> {
    "three".parse::<i32>()?;
    unreachable!()
}

#[test]
fn a_main_function_runs_on_a_loop_and_returns_its_output() {
    assert_eq!(parse_sum(), Ok(3));
    assert!(fail().is_err());
}

#[brigade::test]
async fn a_test_has_a_manual_clock() {
    let (began, really_began) = (now(), Instant::now());
    sleep(HOUR).await;
    assert_eq!(now() - began, HOUR);
    assert!(really_began.elapsed() < HOUR);
}

#[brigade::test(real_clock)]
async fn a_test_with_a_real_clock_really_waits() {
    let really_began = Instant::now();
    sleep(Duration::from_millis(2)).await;
    assert!(really_began.elapsed() >= Duration::from_millis(2));
}

#[brigade::test]
async fn a_test_may_return_a_result() -> Result<(), ParseIntError> {
    assert!(LoopHandle::current().is_current());
    "4".parse::<i32>().map(drop)
}

#[brigade::test]
#[should_panic = "the reason"]
async fn a_test_that_panics_fails() {
    sleep(HOUR).await;
    panic!("the reason");
}

#[brigade::test]
#[ignore = "only its attribute matters: it would fail"]
async fn attributes_of_a_test_are_kept() {
    panic!("it is ignored");
}

#[brigade::test]
async fn select_needs_no_other_crate() {
    let first = brigade::select! {
        () = sleep(HOUR) => "sleep",
        text = async { "async" } => text,
    };
    assert_eq!(first, "async");
}

mod imported {
    use brigade::test;

    #[test]
    async fn the_attribute_can_be_imported() {
        brigade::task::yield_now().await;
    }
}
