//! The example `fetch_delays` waits at once, and keeps its connections.
#![forbid(unsafe_code)]

use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn three_delays_at_once_take_as_long_as_the_longest_and_share_three_connections() {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples");
    let binary = folder.join("fetch_delays").with_extension(std::env::consts::EXE_EXTENSION);
    assert!(binary.exists(), "{binary:?} is missing: `cargo build --examples` makes it");

    let began = Instant::now();
    let output = Command::new(binary).arg("--fast").output().unwrap();
    let took = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();

    let source = format!("{}/examples/fetch_delays.rs", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(source).unwrap();
    let said: String = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .fold(String::new(), |text, line| text + line.trim_start() + "\n");
    let said = said.split("```text\n").nth(2).unwrap().split("```").next().unwrap();
    assert_eq!(without_times(&printed), without_times(said), "{printed}");
    assert_eq!(seconds(said), [1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 3.0, 3.0]);

    // One round in turn would take 300 ms.
    assert!(took >= Duration::from_millis(300), "two rounds took {took:?}");
    let measured = seconds(&printed);
    for (round, total) in [(&measured[..3], measured[3]), (&measured[4..7], measured[7])] {
        assert!(round.is_sorted() && round[2] <= total + 0.01, "{printed}");
        assert!(round.iter().sum::<f64>() > total, "{printed}");
    }
}

/// The lines without what follows `after` in them.
fn without_times(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(|line| {
            let (before, time) = line.split_once(" after ").unwrap();
            let (_, rest) = time.split_once(", ").unwrap();
            (before.to_owned(), rest.to_owned())
        })
        .collect()
}

fn seconds(text: &str) -> Vec<f64> {
    let times = text.lines().filter_map(|line| line.split_once(" after "));
    times.map(|(_, time)| time.split(' ').next().unwrap().parse().unwrap()).collect()
}
