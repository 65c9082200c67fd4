//! A table for each scenario: a row for each server, a column for each figure.

use std::fmt::Write;

use super::digits;
use crate::machine::Machine;
use crate::options::Options;
use crate::results::Results;
use crate::scenarios::Scenario;

/// Returns the Markdown, with the machine, the versions and what was left out.
pub(super) fn render(
    options: &Options,
    machine: &Machine,
    rounds: usize,
    results: &Results,
) -> String {
    let Options { size, smoke, .. } = options;
    let seconds = size.seconds;
    let mut text = format!(
        "# brigade beside its peers\n\n{machine}. Medians of {rounds} rounds of {seconds} s; \
         spread is the distance between the lowest and the highest round of the first figure. \
         Other work on the machine only adds time, so the least of the rounds was disturbed \
         least.\n"
    );
    if *smoke {
        text.push_str("\nA smoke run: everything is smaller than below, and no figure counts.\n");
    }
    for scenario in &options.scenarios {
        table(&mut text, scenario, results);
    }
    text.push_str("\n## Versions\n");
    for (server, version) in &results.servers {
        let _ = writeln!(text, "- {server}: {version}");
    }
    if !results.left_out.is_empty() {
        text.push_str("\n## Left out\n");
    }
    for reason in &results.left_out {
        let _ = writeln!(text, "- {reason}");
    }
    text
}

fn table(text: &mut String, scenario: &Scenario, results: &Results) {
    let figures = results.figures(scenario.name);
    let Some(&(first, _)) = figures.first() else { return };
    let floor = results.median(scenario.name, "floor", first);
    let least_floor = results.least(scenario.name, "floor", first);
    let _ = write!(text, "\n## {}\n{}\n\n| server |", scenario.name, scenario.about);
    for (figure, unit) in &figures {
        let _ = write!(text, " {figure} ({unit}) |");
    }
    let of_floor = floor.map_or("", |_| " of the floor | of the floor, least rounds |");
    let _ = writeln!(text, "{of_floor} spread |");
    let columns = figures.len() + 2 + 2 * usize::from(floor.is_some());
    let _ = writeln!(text, "|{}", " --- |".repeat(columns));
    for (server, _) in &results.servers {
        let Some(value) = results.median(scenario.name, server, first) else { continue };
        let _ = write!(text, "| {server} |");
        for (figure, _) in &figures {
            let value = results.median(scenario.name, server, figure);
            let _ = write!(text, " {} |", value.map_or_else(String::new, digits));
        }
        let least = results.least(scenario.name, server, first);
        if let (Some(floor), Some(least), Some(least_floor)) = (floor, least, least_floor) {
            let _ = write!(text, " {:.2} x | {:.2} x |", value / floor, least / least_floor);
        }
        let spread = results.spread(scenario.name, server, first).unwrap_or(0.0);
        let _ = writeln!(text, " {:.0} % |", spread * 100.0);
    }
}
