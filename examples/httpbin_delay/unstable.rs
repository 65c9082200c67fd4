//! `/unstable`: fails now and then.

use brigade::http::{Request, Response};
use http::StatusCode;

use crate::failure::Answer;
use crate::params::Params;

const FAILURE_RATE_DEFAULT: f64 = 0.5;

/// Answers with 500 at `failure_rate`, and with 200 else.
pub(crate) fn unstable(request: &Request) -> Answer {
    let params = Params::of(request, &["failure_rate", "seed"])?;
    let mut rng = params.rng()?;
    let rate = params.number("failure_rate", FAILURE_RATE_DEFAULT, 0.0..=1.0)?;
    Ok(match rng.f64() < rate {
        true => Response::text("").with_status(StatusCode::INTERNAL_SERVER_ERROR),
        false => Response::text(""),
    })
}
