//! Tests that run in a process of their own, because they send it signals.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::process::{Command, Output};

const CHILD: &str = "BRIGADE_TEST_CHILD";

/// Runs `body` in a process of its own, in which no other test runs. Returns what became of it.
/// `test` is the name of the calling test.
pub fn in_child(test: &str, body: impl FnOnce()) -> Output {
    if std::env::var(CHILD).as_deref() == Ok(test) {
        body();
        println!("the child has reached its end");
        std::process::exit(0);
    }
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, test)
        .output()
        .unwrap()
}

/// Runs `body` as [`in_child`] does, and expects that it succeeds.
pub fn succeeds_in_child(test: &str, body: impl FnOnce()) {
    let output = in_child(test, body);
    assert!(output.status.success(), "{output:?}");
}
