//! Errors in received messages, and in messages to send.

// std
use std::{error, fmt};

// crates
use http::StatusCode;

/// A violation of the protocol, or of one of our limits, by the peer.
///
/// Each of them ends the connection: send a response with [`status`](Self::status), then close.
/// Nothing that follows is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A line of the head, of the trailers or of the chunk framing does not end in CR LF.
    LineEnd,
    /// A malformed request line or status line.
    StartLine,
    /// The request target is malformed, or its form does not go with the method.
    Target,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// The method is longer than the limit.
    MethodTooLong,
    /// The method is `CONNECT` or `TRACE`, which are not implemented.
    MethodUnsupported,
    /// The version is well-formed, but neither 1.0 nor 1.1.
    VersionUnsupported,
    /// A header name that is not a token, a header line without a colon, white space before the
    /// colon, or a folded line.
    HeaderName,
    /// A header value contains a control character.
    HeaderValue,
    /// A header value begins or ends with a space or a tab, in HTTP/2.
    HeaderSpace,
    /// There are more header lines, or trailer lines, than the limit.
    TooManyHeaders,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// A request of HTTP/1.1 has no `Host`.
    HostMissing,
    /// There is more than one `Host`.
    HostRepeated,
    /// The `Host`, or the authority of the target, is not a host with an optional port.
    HostInvalid,
    /// The `Content-Length` is not a plain decimal number of 64 bits.
    ContentLength,
    /// There is more than one `Content-Length`, even if they are equal.
    ContentLengthRepeated,
    /// There are both `Content-Length` and `Transfer-Encoding`.
    LengthAndEncoding,
    /// The `Transfer-Encoding` does not end in exactly one `chunked`, or is repeated.
    TransferEncoding,
    /// A message of HTTP/1.0 has a `Transfer-Encoding`.
    EncodingInOldVersion,
    /// The transfer coding is well-formed, but not just `chunked`.
    EncodingUnsupported,
    /// The `Expect` has a member other than `100-continue`.
    Expectation,
    /// The body, or its announced length, is larger than the limit.
    BodyTooLarge,
    /// A chunk size is not 1 to 16 hexadecimal digits.
    ChunkSize,
    /// A chunk extension is malformed.
    ChunkExtension,
    /// The chunk extensions of the message are longer than the limit.
    ChunkExtensionsTooLong,
    /// The framing of the chunks exceeds their data by more than the limit.
    ChunkOverhead,
    /// The data of a chunk is not followed by CR LF.
    ChunkEnd,
    /// The trailer section is larger than the limit.
    TrailersTooLarge,
    /// The connection ended in the middle of a message.
    UnexpectedEnd,
    /// The head did not arrive in time. Reported by the driver of the connection, which has the
    /// clock.
    HeadTimeout,
    /// The body arrived too slowly. Reported by the driver of the connection.
    BodyTimeout,
    /// The server sent a response without a request.
    UnexpectedResponse,
    /// The server sent more than 100 informational responses to one request.
    TooManyInformational,
}

impl ProtocolError {
    /// Returns the status of the response to this error.
    ///
    /// That is 400 unless RFC 9110 section 15 has a more specific one: 408, 413, 414, 417, 431, 501
    /// or 505.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::TooManyHeaders | Self::HeadTooLarge | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::MethodTooLong | Self::MethodUnsupported | Self::EncodingUnsupported => {
                StatusCode::NOT_IMPLEMENTED
            }
            Self::VersionUnsupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::LineEnd => "a line does not end in CR LF",
            Self::StartLine => "malformed start line",
            Self::Target => "malformed request target",
            Self::TargetTooLong => "the request target is too long",
            Self::MethodTooLong => "the method is too long",
            Self::MethodUnsupported => "the method is not implemented",
            Self::VersionUnsupported => "the version is neither HTTP/1.0 nor HTTP/1.1",
            Self::HeaderName => "malformed header name",
            Self::HeaderValue => "a header value contains a control character",
            Self::HeaderSpace => "a header value begins or ends with white space",
            Self::TooManyHeaders => "too many headers",
            Self::HeadTooLarge => "the head is too large",
            Self::HostMissing => "the Host header is missing",
            Self::HostRepeated => "more than one Host header",
            Self::HostInvalid => "the host is not a name or address with an optional port",
            Self::ContentLength => "Content-Length is not a decimal number of 64 bits",
            Self::ContentLengthRepeated => "more than one Content-Length",
            Self::LengthAndEncoding => "both Content-Length and Transfer-Encoding",
            Self::TransferEncoding => "Transfer-Encoding does not end in exactly one chunked",
            Self::EncodingInOldVersion => "Transfer-Encoding in HTTP/1.0",
            Self::EncodingUnsupported => "the transfer coding is not implemented; only chunked is",
            Self::Expectation => "the expectation cannot be met; only 100-continue can",
            Self::BodyTooLarge => "the body is too large",
            Self::ChunkSize => "a chunk size is not 1 to 16 hexadecimal digits",
            Self::ChunkExtension => "malformed chunk extension",
            Self::ChunkExtensionsTooLong => "the chunk extensions are too long",
            Self::ChunkOverhead => "the chunks have more framing than data",
            Self::ChunkEnd => "the data of a chunk does not end in CR LF",
            Self::TrailersTooLarge => "the trailers are too large",
            Self::UnexpectedEnd => "the connection ended in the middle of a message",
            Self::HeadTimeout => "the head did not arrive in time",
            Self::BodyTimeout => "the body arrived too slowly",
            Self::UnexpectedResponse => "the server sent a response without a request",
            Self::TooManyInformational => "too many informational responses",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl error::Error for ProtocolError {}

/// Why a message, or a part of one, cannot be sent. Nothing of it has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The call does not fit the state of the connection: no message is in progress, or this part
    /// of it has been sent.
    OutOfTurn,
    /// The status may not be sent here: 101 to a request without an upgrade, or any 1xx as a
    /// complete response, since a final response has to follow it.
    Status(StatusCode),
    /// The headers contain `Transfer-Encoding`, which only the connection may set.
    TransferEncoding,
    /// The headers contain a `Content-Length` that is not a number or contradicts the body.
    ContentLength,
    /// A trailer is not allowed as one (RFC 9110 section 6.5.1), or contains CR, LF or NUL.
    Trailer,
    /// The request target is empty or contains characters that are not allowed.
    Target,
    /// The host is not a name or address with an optional port.
    Host,
    /// The body is longer than announced, by this many bytes.
    BodyTooLong(u64),
    /// The body is shorter than announced, by this many bytes.
    BodyTooShort(u64),
    /// A header name or value contains characters that are not allowed.
    Header,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTurn => {
                f.write_str("no message is in progress, or this part of it has been sent")
            }
            Self::Status(status) => write!(f, "status {status} cannot be sent here"),
            Self::TransferEncoding => {
                f.write_str("the headers contain Transfer-Encoding; remove it, brigade sets it")
            }
            Self::ContentLength => {
                f.write_str("Content-Length contradicts the body; remove it, brigade sets it")
            }
            Self::Trailer => {
                f.write_str("a field is not allowed in trailers, or contains CR, LF or NUL")
            }
            Self::Target => f.write_str("malformed request target"),
            Self::Host => f.write_str("the host is not a name or address with an optional port"),
            Self::BodyTooLong(bytes) => {
                write!(f, "the body is {bytes} bytes longer than announced")
            }
            Self::BodyTooShort(bytes) => {
                write!(f, "the body is {bytes} bytes shorter than announced")
            }
            Self::Header => f.write_str("a header name or value contains invalid characters"),
        }
    }
}

impl error::Error for EncodeError {}
