//! `/unstable`: fails at random.

use brigade::http::{Request, Response};
use http::StatusCode;

use crate::failure::EndpointResult;
use crate::params::Params;

const FAILURE_RATE_DEFAULT: f64 = 0.5;

/// Responds with 500 with the probability `failure_rate`, otherwise with 200.
pub(crate) fn unstable(request: &Request) -> EndpointResult {
    let params = Params::of(request, &["failure_rate", "seed"])?;
    let mut rng = params.rng()?;
    let rate = params.number("failure_rate", FAILURE_RATE_DEFAULT, 0.0..=1.0)?;
    Ok(match rng.f64() < rate {
        true => Response::text("").with_status(StatusCode::INTERNAL_SERVER_ERROR),
        false => Response::text(""),
    })
}
