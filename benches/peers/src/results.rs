//! The samples of a run, and their medians.

use crate::scenarios::Figure;
use crate::stats;

/// One figure of one round.
#[derive(Debug)]
pub struct Sample {
    /// The scenario, by name.
    pub scenario: &'static str,
    /// The server, by name.
    pub server: &'static str,
    /// The round, from 1.
    pub round: usize,
    /// What was measured.
    pub figure: Figure,
}

/// A run's samples, in the order they were taken, and what was left out.
#[derive(Debug, Default)]
pub struct Results {
    /// The samples.
    pub samples: Vec<Sample>,
    /// The servers, with their versions and the runtimes that they named when they started.
    pub servers: Vec<(&'static str, String)>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

impl Results {
    /// Returns the figures of a scenario, by name and unit, in the order of measurement.
    pub fn figures(&self, scenario: &str) -> Vec<(&str, &'static str)> {
        let mut figures: Vec<(&str, &'static str)> = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.scenario == scenario) {
            let figure = (sample.figure.name.as_str(), sample.figure.unit);
            if !figures.contains(&figure) {
                figures.push(figure);
            }
        }
        figures
    }

    /// Returns the median over the rounds; `None` without a round.
    pub fn median(&self, scenario: &str, server: &str, figure: &str) -> Option<f64> {
        let values = self.values(scenario, server, figure);
        (!values.is_empty()).then(|| stats::median(values))
    }

    /// Returns the least over the rounds, which other work on the machine disturbed least; `None`
    /// without a round.
    pub fn least(&self, scenario: &str, server: &str, figure: &str) -> Option<f64> {
        self.values(scenario, server, figure).into_iter().reduce(f64::min)
    }

    /// Returns the distance between the lowest and the highest round, as a fraction of the median;
    /// `None` without a round.
    pub fn spread(&self, scenario: &str, server: &str, figure: &str) -> Option<f64> {
        let values = self.values(scenario, server, figure);
        (!values.is_empty()).then(|| stats::spread(&values))
    }

    fn values(&self, scenario: &str, server: &str, figure: &str) -> Vec<f64> {
        let of = |sample: &&Sample| {
            sample.scenario == scenario && sample.server == server && sample.figure.name == figure
        };
        self.samples.iter().filter(of).map(|sample| sample.figure.value).collect()
    }
}
