//! Every sample as a line of CSV.

use std::fmt::Write;

use crate::machine::Machine;
use crate::results::Results;

/// Returns the CSV, after comment lines that name the machine and the versions.
pub(super) fn render(machine: &Machine, results: &Results) -> String {
    let mut text = format!("# {machine}\n");
    for (server, version) in &results.servers {
        let _ = writeln!(text, "# {server}: {version}");
    }
    text.push_str("scenario,server,round,figure,unit,value\n");
    for sample in &results.samples {
        let figure = &sample.figure;
        let _ = writeln!(
            text,
            "{},{},{},\"{}\",{},{}",
            sample.scenario, sample.server, sample.round, figure.name, figure.unit, figure.value
        );
    }
    text
}
