//! Each example prints what its first lines say, but for the times.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::Command;

#[test]
fn kitchen() {
    assert_prints_what_it_says("kitchen");
}

#[test]
fn ready_queue() {
    assert_prints_what_it_says("ready_queue");
}

#[test]
fn scheduling() {
    assert_prints_what_it_says("scheduling");
}

#[test]
fn turn_trace() {
    assert_prints_what_it_says("turn_trace");
}

#[test]
fn futures() {
    assert_prints_what_it_says("futures");
}

#[test]
fn exceptions() {
    assert_prints_what_it_says("exceptions");
}

#[test]
fn run_in_thread() {
    assert_prints_what_it_says("run_in_thread");
}

#[test]
fn cpu_or_io() {
    assert_prints_what_it_says("cpu_or_io");
}

#[test]
fn debugging() {
    assert_prints_what_it_says("debugging");
}

#[cfg(feature = "metrics")]
#[test]
fn metrics() {
    assert_prints_what_it_says_with("--features metrics ", "metrics");
}

fn assert_prints_what_it_says(name: &str) {
    assert_prints_what_it_says_with("", name);
}

fn assert_prints_what_it_says_with(options: &str, name: &str) {
    let source = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(source).unwrap();
    let mut blocks = text_blocks(&source);
    assert_eq!(blocks.next().as_deref(), Some(&*format!("cargo run {options}--example {name}\n")));
    let said = blocks.next().expect("a block with the output");

    let mut command = Command::new(binary(name));
    // A backtrace takes long enough to be a slow poll.
    command.env("RUST_BACKTRACE", "0").env_remove("BRIGADE_DEBUG");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(without_times(&printed), without_times(&said), "{name} printed:\n{printed}");
}

/// The `text` blocks in the documentation of a file.
fn text_blocks(source: &str) -> impl Iterator<Item = String> {
    let doc = source.lines().map_while(|line| line.strip_prefix("//!"));
    let doc: String =
        doc.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect();
    let blocks: Vec<_> = doc
        .split("```text\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect();
    blocks.into_iter()
}

/// Cargo builds examples before it runs tests, into a folder beside that of the tests.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples");
    let binary = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(binary.exists(), "{binary:?} is missing: `cargo build --examples` makes it");
    binary
}

/// `text` with each duration, such as `20 ms` or `4.9ms`, as `(time)`, and lines that were wrapped
/// put together: all space is one blank.
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
