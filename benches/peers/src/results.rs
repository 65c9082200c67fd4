//! What was measured, and its medians.

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
    /// The servers, with the version of what each is made from and what it said when it started.
    pub servers: Vec<(&'static str, String)>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

impl Results {
    /// The figures of a scenario, by name and unit, in the order in which it takes them.
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

    /// The median over the rounds, if there was a round.
    pub fn median(&self, scenario: &str, server: &str, figure: &str) -> Option<f64> {
        let values = self.values(scenario, server, figure);
        (!values.is_empty()).then(|| stats::median(values))
    }

    /// The least over the rounds, if there was a round: what was measured while the rest of the
    /// machine disturbed it least.
    pub fn least(&self, scenario: &str, server: &str, figure: &str) -> Option<f64> {
        self.values(scenario, server, figure).into_iter().reduce(f64::min)
    }

    /// How far the rounds lie apart, as a fraction of their median, if there was a round.
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
