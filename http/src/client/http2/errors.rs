//! The errors of h2 as ours.

use std::io::{self, ErrorKind};

use h2::Reason;

use crate::message::client_error::{ClientErrorKind, http2_code};

/// Returns what went wrong, and `true` if the server has not looked at the request (RFC 9113
/// section 8.7).
pub(super) fn kind_of(error: h2::Error) -> (ClientErrorKind, bool) {
    let code = error.reason().map_or(0, u32::from);
    let is_remote = error.is_remote();
    if error.is_reset() && is_remote {
        return (ClientErrorKind::Reset(code), error.reason() == Some(Reason::REFUSED_STREAM));
    }
    if error.is_go_away() && is_remote {
        let code = http2_code(code);
        let text = format!("the server ends it and has not looked at the request: GOAWAY, {code}");
        let error = io::Error::new(ErrorKind::ConnectionAborted, text);
        return (ClientErrorKind::Broken(error), true);
    }
    let kind = match error.reason() {
        Some(_) => ClientErrorKind::Http2(code),
        None => ClientErrorKind::Broken(match error.get_io() {
            Some(_) => error.into_io().unwrap_or_else(|| ErrorKind::ConnectionAborted.into()),
            None => io::Error::other(error),
        }),
    };
    (kind, false)
}
