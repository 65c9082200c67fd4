//! A bar chart: a panel for the first figure of each scenario, the best server first.

use std::fmt::Write;

use super::digits;
use crate::machine::Machine;
use crate::results::Results;
use crate::scenarios::Scenario;

// All in pixels.
const WIDTH: usize = 760;
const MARGIN: usize = 16;
const TITLE: usize = 64;
const PANEL_TITLE: usize = 30;
const BAR: usize = 18;
const BAR_STEP: usize = 24;
const LABELS: usize = 110;
const VALUES: usize = 90;

/// Returns the SVG.
pub(super) fn render(machine: &Machine, scenarios: &[&Scenario], results: &Results) -> String {
    let mut panels = String::new();
    let mut y = TITLE;
    for scenario in scenarios {
        y += panel(&mut panels, y, scenario, results);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"28\" font-size=\"17\">brigade beside its peers</text>\n\
         <text x=\"{MARGIN}\" y=\"46\" font-size=\"9\" fill=\"#666666\">{machine}</text>\n\
         {panels}</svg>\n",
        height = y + MARGIN,
        machine = escaped(&machine.to_string()),
    )
}

/// Draws a panel and returns its height.
fn panel(text: &mut String, top: usize, scenario: &Scenario, results: &Results) -> usize {
    let figures = results.figures(scenario.name);
    let Some(&(figure, unit)) = figures.first() else { return 0 };
    let bars = bars(scenario, figure, results);
    let longest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let room = (WIDTH - 2 * MARGIN - LABELS - VALUES) as f64;
    let better = if scenario.less_is_better { "less is better" } else { "more is better" };
    let _ = writeln!(
        text,
        "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"13\" font-weight=\"bold\">{}: {}, {} \
         ({better})</text>",
        top + 18,
        scenario.name,
        escaped(figure),
        escaped(unit)
    );
    for (each, (server, value)) in bars.iter().enumerate() {
        let y = top + PANEL_TITLE + each * BAR_STEP;
        let length = (value / longest * room).max(1.0);
        let (labels, start) = (MARGIN + LABELS - 8, MARGIN + LABELS);
        let color = color(server);
        let baseline = y + 13;
        let _ = writeln!(
            text,
            "<text x=\"{labels}\" y=\"{baseline}\" text-anchor=\"end\">{server}</text>\
             <rect x=\"{start}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" \
             fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{baseline}\">{}</text>",
            start as f64 + length + 6.0,
            digits(*value)
        );
    }
    PANEL_TITLE + bars.len() * BAR_STEP + MARGIN
}

/// Returns the servers and their medians, the best first.
fn bars(scenario: &Scenario, figure: &str, results: &Results) -> Vec<(&'static str, f64)> {
    let median = |&(server, _): &(&'static str, String)| {
        results.median(scenario.name, server, figure).map(|value| (server, value))
    };
    let mut bars: Vec<_> = results.servers.iter().filter_map(median).collect();
    bars.sort_by(|one, other| one.1.total_cmp(&other.1));
    if !scenario.less_is_better {
        bars.reverse();
    }
    bars
}

fn color(server: &str) -> &'static str {
    match server {
        "brigade" | "echo-brigade" => "#c0392b",
        "floor" => "#95a5a6",
        _ => "#4a7fb5",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
