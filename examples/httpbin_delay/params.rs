//! The parameters of an endpoint, in its path and in its query.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use brigade::http::Request;
use fastrand::Rng;

use crate::failure::Failure;
use crate::go_duration::GoDuration;
use crate::query::{self, Values};

/// The query parameters of an endpoint.
pub(crate) struct Params {
    values: Values,
}

impl Params {
    /// Parses the query. Each name must be one of `known`: a misspelt name would otherwise change a
    /// client's test silently.
    pub(crate) fn of(request: &Request, known: &[&str]) -> Result<Self, Failure> {
        let values = query::parse_query(request.query().unwrap_or_default());
        match values.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(Self { values }),
            Some(unknown) => Err(Failure::bad_request(format!(
                "unknown parameter: {unknown:?} is none of {}",
                known.join(", ")
            ))),
        }
    }

    /// Returns the first value of this name, unless it is empty.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?.first()?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn duration(
        &self,
        name: &str,
        default: GoDuration,
        bounds: RangeInclusive<GoDuration>,
    ) -> Result<GoDuration, Failure> {
        let Some(text) = self.value(name) else { return Ok(default) };
        GoDuration::parse_within(text, *bounds.start(), *bounds.end())
            .map_err(|error| Failure::bad_request(format!("invalid {name}: {error}")))
    }

    pub(crate) fn number<N>(
        &self,
        name: &str,
        default: N,
        bounds: RangeInclusive<N>,
    ) -> Result<N, Failure>
    where
        N: Display + FromStr + PartialOrd,
    {
        match self.value(name) {
            Some(text) => parse_number(name, text, bounds),
            None => Ok(default),
        }
    }

    /// Returns a random number generator, the same one for the same `seed`.
    pub(crate) fn rng(&self) -> Result<Rng, Failure> {
        let Some(text) = self.value("seed") else { return Ok(Rng::new()) };
        match text.parse::<i64>() {
            Ok(seed) => Ok(Rng::with_seed(seed.cast_unsigned())),
            Err(error) => Err(Failure::bad_request(format!("invalid seed: {text:?}: {error}"))),
        }
    }
}

/// Returns the path parameter `name` as a number. Error messages call it `what`.
pub(crate) fn path_number<N>(
    request: &Request,
    name: &str,
    what: &str,
    bounds: RangeInclusive<N>,
) -> Result<N, Failure>
where
    N: Display + FromStr + PartialOrd,
{
    parse_number(what, request.param(name).unwrap_or_default(), bounds)
}

fn parse_number<N>(what: &str, text: &str, bounds: RangeInclusive<N>) -> Result<N, Failure>
where
    N: Display + FromStr + PartialOrd,
{
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        let (min, max) = (bounds.start(), bounds.end());
        Failure::bad_request(format!(
            "invalid {what}: {text:?} is no number in range [{min}, {max}]"
        ))
    })
}
