//! Each example prints what its documentation says, except for the times.
#![forbid(unsafe_code)]

mod common;

use common::docs::text_blocks;
use common::server::example;

#[test]
fn kitchen_prints_its_documentation() {
    assert_prints_its_documentation("kitchen");
}

#[test]
fn ready_queue_prints_its_documentation() {
    assert_prints_its_documentation("ready_queue");
}

#[test]
fn scheduling_prints_its_documentation() {
    assert_prints_its_documentation("scheduling");
}

#[test]
fn turn_trace_prints_its_documentation() {
    assert_prints_its_documentation("turn_trace");
}

#[test]
fn futures_prints_its_documentation() {
    assert_prints_its_documentation("futures");
}

#[test]
fn exceptions_prints_its_documentation() {
    assert_prints_its_documentation("exceptions");
}

#[test]
fn run_in_thread_prints_its_documentation() {
    assert_prints_its_documentation("run_in_thread");
}

#[test]
fn cpu_or_io_prints_its_documentation() {
    assert_prints_its_documentation("cpu_or_io");
}

#[test]
fn debugging_prints_its_documentation() {
    assert_prints_its_documentation("debugging");
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_prints_its_documentation() {
    assert_prints_its_documentation_with("--features metrics ", "metrics");
}

fn assert_prints_its_documentation(name: &str) {
    assert_prints_its_documentation_with("", name);
}

/// `options` are those of `cargo run`.
fn assert_prints_its_documentation_with(options: &str, name: &str) {
    let blocks = text_blocks(name);
    assert_eq!(blocks[0], format!("cargo run {options}--example {name}\n"));
    let documented = blocks.get(1).expect("a block with the output");

    // A backtrace takes long enough to be a slow poll.
    let output = example(name).env("RUST_BACKTRACE", "0").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(without_times(&printed), without_times(documented), "{name} printed:\n{printed}");
}

/// Replaces each duration, such as `20 ms` or `4.9ms`, by `(time)`, and any white space by one
/// space, so that it does not matter where lines are wrapped.
fn without_times(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut result = String::new();
    let mut rest = &*text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        let unit = after.strip_prefix(' ').unwrap_or(after);
        let units = ["ms", "µs", "ns", "s"];
        let unit = units.into_iter().find_map(|name| {
            let after = unit.strip_prefix(name)?;
            (!after.starts_with(char::is_alphanumeric)).then_some(after)
        });
        result.push_str(before);
        result.push_str(if unit.is_some() { "(time)" } else { number });
        rest = unit.unwrap_or(after);
    }
    result + rest
}
