//! Durations in Go's format, such as `1m30s` or `1.5s`, or as a number of seconds.

use std::fmt;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;

/// A signed number of nanoseconds, like Go's `time.Duration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GoDuration {
    nanos: i64,
}

impl GoDuration {
    pub(crate) const ZERO: Self = Self { nanos: 0 };
    /// The shortest duration above zero.
    pub(crate) const NANOSECOND: Self = Self { nanos: 1 };

    pub(crate) const fn from_secs(seconds: u32) -> Self {
        Self { nanos: seconds as i64 * SECOND }
    }

    /// Parses what Go's `time.ParseDuration` accepts, and decimal numbers of seconds, truncated to
    /// the millisecond. A number of seconds that is too large becomes the longest duration.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let nanos = go_format(text).or_else(|| seconds(text));
        nanos.map(|nanos| Self { nanos }).ok_or_else(|| {
            format!(
                "{text:?} is neither a Go duration, like 100ms or 1.5s, nor a number of seconds"
            )
        })
    }

    /// Like [`GoDuration::parse`]; a duration that is not between `min` and `max` is an error.
    pub(crate) fn parse_within(text: &str, min: Self, max: Self) -> Result<Self, String> {
        let duration = Self::parse(text)?;
        if duration < min {
            return Err(format!("duration {duration} shorter than {min}"));
        }
        if duration > max {
            return Err(format!("duration {duration} longer than {max}"));
        }
        Ok(duration)
    }

    /// Converts to the standard library's type; a negative duration becomes zero.
    pub(crate) fn to_std(self) -> Duration {
        Duration::from_nanos(self.nanos.try_into().unwrap_or(0))
    }

    pub(crate) fn saturating_add(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos) }
    }
}

/// `[-+]?([0-9]*(\.[0-9]*)?unit)+`, or a zero without unit.
fn go_format(text: &str) -> Option<i64> {
    let (negative, mut rest) = sign(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    loop {
        let (whole, fraction, after) = number(rest)?;
        let is_number = |character: char| character == '.' || character.is_ascii_digit();
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let unit = unit_nanos(unit)?;
        let whole: u64 = whole.parse().or(if whole.is_empty() { Ok(0) } else { Err(()) }).ok()?;
        total += i128::from(whole) * i128::from(unit) + scaled(fraction, unit);
        if total > i128::from(i64::MAX) + 1 {
            return None;
        }
        if after.is_empty() {
            return i64::try_from(if negative { -total } else { total }).ok();
        }
        rest = after;
    }
}

/// `[-+]?[0-9]*(\.[0-9]*)?`
fn seconds(text: &str) -> Option<i64> {
    let (negative, rest) = sign(text);
    let (whole, fraction, rest) = number(rest)?;
    if !rest.is_empty() {
        return None;
    }
    let nanos = match whole {
        "" => 0,
        // A number too large for the type saturates.
        whole => whole.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(SECOND),
    };
    let millis = scaled(fraction, 1000) as i64;
    let nanos = nanos.saturating_add(millis * (SECOND / 1000));
    Some(if negative { -nanos } else { nanos })
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Splits off the digits before and after the point. Returns `None` if there is no digit.
fn number(text: &str) -> Option<(&str, &str, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    (!whole.is_empty() || !fraction.is_empty()).then_some((whole, fraction, rest))
}

/// Returns the digits after the point as a fraction of `unit`, truncated to a whole number.
fn scaled(fraction: &str, unit: i64) -> i128 {
    let mut scale = 1;
    let mut value = 0;
    // The largest unit has 13 digits, so further digits make no difference.
    for digit in fraction.bytes().take(18) {
        value = value * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    value * i128::from(unit) / scale
}

fn unit_nanos(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    })
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        let nanos = self.nanos.unsigned_abs();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "\u{b5}s"),
            1_000_000..1_000_000_000 => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => {
                let second = SECOND.unsigned_abs();
                let minutes = nanos / (60 * second);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write_decimal(f, nanos % (60 * second), second, "s")
            }
        }
    }
}

/// Writes `nanos` in units of `unit`, without trailing zeros.
fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    let digits = unit.ilog10() as usize;
    write!(f, "{}", nanos / unit)?;
    if !nanos.is_multiple_of(unit) {
        let fraction = format!("{:0digits$}", nanos % unit);
        write!(f, ".{}", fraction.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_and_numbers_of_seconds_are_parsed() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("1", SECOND),
            ("10", 10 * SECOND),
            ("1.5", 1_500_000_000),
            ("1.001", 1_001_000_000),
            ("0.0019", 1_000_000),
            (".25", 250_000_000),
            ("2.", 2 * SECOND),
            ("-1", -SECOND),
            ("100ms", 100_000_000),
            ("1.5s", 1_500_000_000),
            ("1m", 60 * SECOND),
            ("1m30s", 90 * SECOND),
            ("1h1m1s", 3661 * SECOND),
            ("-1.5h", -5400 * SECOND),
            ("+5s", 5 * SECOND),
            (".5s", 500_000_000),
            ("1.s", SECOND),
            ("12us", 12_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("7ns", 7),
            ("0.9ns", 0),
            ("0.100000000000000000000h", 360 * SECOND),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration { nanos }), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_a_duration_is_an_error() {
        for text in [
            "",
            " ",
            "foo",
            "s",
            ".",
            ".s",
            "+",
            "-",
            "-.s",
            "1 s",
            " 1s",
            "1s ",
            "1x",
            "1S",
            "1s1",
            "1d",
            "--1s",
            "+-1s",
            "1e3",
            "inf",
            "NaN",
            "0x1",
            "1_000",
            "1,5",
            "1s-1s",
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999s",
            "\u{663}s",
        ] {
            assert!(GoDuration::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_bounds_in_go_format() {
        let max = GoDuration::from_secs(10);
        let within = |text| GoDuration::parse_within(text, GoDuration::ZERO, max);
        assert_eq!(within("10s"), Ok(max));
        assert_eq!(within("11"), Err("duration 11s longer than 10s".to_owned()));
        assert_eq!(within("10.001"), Err("duration 10.001s longer than 10s".to_owned()));
        assert_eq!(within("-1ms"), Err("duration -1ms shorter than 0s".to_owned()));
        assert!(within("x").is_err_and(|error| error.contains("\"x\" is neither")));
    }

    #[test]
    fn sums_saturate_and_negative_durations_convert_to_zero() {
        let longest = GoDuration { nanos: i64::MAX };
        assert_eq!(longest.saturating_add(GoDuration::NANOSECOND), longest);
        assert_eq!(GoDuration { nanos: -1 }.to_std(), Duration::ZERO);
        assert_eq!(GoDuration::from_secs(3).to_std(), Duration::from_secs(3));
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (text, written) in [
            ("0", "0s"),
            ("5ns", "5ns"),
            ("1500ns", "1.5\u{b5}s"),
            ("100ms", "100ms"),
            ("1.25ms", "1.25ms"),
            ("1.5s", "1.5s"),
            ("60s", "1m0s"),
            ("1h", "1h0m0s"),
            ("-61.5s", "-1m1.5s"),
            ("1.000000001s", "1.000000001s"),
        ] {
            assert_eq!(GoDuration::parse(text).map(|read| read.to_string()), Ok(written.into()));
        }
    }
}
