//! Medians and percentiles.

use std::time::Duration;

/// The middle of the values, or the mean of the two in the middle.
///
/// # Panics
/// If there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// How far the values lie apart, as a fraction of their median: 0 if there is one.
///
/// # Panics
/// If there are none.
pub fn spread(values: &[f64]) -> f64 {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (highest - lowest) / median(values.to_vec())
}

/// Durations in order.
#[derive(Debug)]
pub struct Durations(Vec<Duration>);

impl Durations {
    /// Puts them in order.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(mut durations: Vec<Duration>) -> Self {
        assert!(!durations.is_empty(), "there are no percentiles of nothing");
        durations.sort_unstable();
        Self(durations)
    }

    /// The duration, in milliseconds, that this share (0 to 1) of them does not exceed.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1].as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![9.0, 1.0, 3.0]), 3.0);
    }

    #[test]
    fn the_spread_is_relative() {
        assert_eq!(spread(&[9.0, 10.0, 12.0]), 0.3);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let durations = Durations::new((1..=100).map(Duration::from_millis).collect());
        assert_eq!(durations.percentile_ms(0.5), 50.0);
        assert_eq!(durations.percentile_ms(0.99), 99.0);
        assert_eq!(durations.percentile_ms(1.0), 100.0);
    }
}
