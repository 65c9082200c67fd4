//! The example `fetch_delays` waits for its requests concurrently, and reuses its connections.
#![forbid(unsafe_code)]

mod common;

use std::time::{Duration, Instant};

use common::docs::text_blocks;
use common::server::example;

#[test]
fn three_concurrent_delays_take_as_long_as_the_longest_and_reuse_three_connections() {
    let began = Instant::now();
    let output = example("fetch_delays").arg("--fast").output().unwrap();
    let took = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();

    let documented = &text_blocks("fetch_delays")[1];
    assert_eq!(without_times(&printed), without_times(documented), "{printed}");
    assert_eq!(seconds(documented), [1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 3.0, 3.0]);

    // Each of the two rounds takes at least its longest delay.
    assert!(took >= Duration::from_millis(300), "two rounds took {took:?}");
    let measured = seconds(&printed);
    for (round, total) in [(&measured[..3], measured[3]), (&measured[4..7], measured[7])] {
        assert!(round.is_sorted() && round[2] <= total + 0.01, "{printed}");
        assert!(round.iter().sum::<f64>() > total, "{printed}");
    }
}

/// Returns each line without the time that follows `after`.
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
