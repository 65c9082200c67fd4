//! The results as files: a Markdown table, a CSV and an SVG chart.

mod csv;
mod markdown;
mod svg;

use std::fs;
use std::io;

use crate::machine::Machine;
use crate::options::Options;
use crate::results::Results;

/// Writes `results.md`, `results.csv` and `results.svg` for the rounds so far.
///
/// # Errors
/// If the directory or a file cannot be written.
pub fn write(
    options: &Options,
    machine: &Machine,
    rounds: usize,
    results: &Results,
) -> io::Result<()> {
    let (out, scenarios) = (&options.out, &options.scenarios);
    fs::create_dir_all(out)?;
    fs::write(out.join("results.md"), markdown::render(options, machine, rounds, results))?;
    fs::write(out.join("results.csv"), csv::render(machine, results))?;
    fs::write(out.join("results.svg"), svg::render(machine, scenarios, results))
}

/// Formats a value with three significant digits, or all digits before the point.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn values_keep_three_digits() {
        assert_eq!(digits(1.234), "1.23");
        assert_eq!(digits(12.34), "12.3");
        assert_eq!(digits(15_432.1), "15432");
    }
}
