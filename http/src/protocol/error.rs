//! What can be wrong with what a peer sends, and with what a handler wants sent.

// std
use std::{error, fmt};

// crates
use http::StatusCode;

/// A way in which a peer broke the protocol or one of our limits.
///
/// Each is final for the connection: answer with [`status`](Self::status), then close; not a
/// byte that follows is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A line of the head, of the trailers or of the chunk framing does not end in CR LF.
    LineEnd,
    /// The head begins with something that begins no request line or status line.
    StartLine,
    /// The request target is malformed, or of a form that its method may not have.
    Target,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// The method is longer than the limit.
    MethodTooLong,
    /// The method is one that this server never implements: `CONNECT` and `TRACE`.
    MethodUnsupported,
    /// A well-formed version which is neither 1.0 nor 1.1.
    VersionUnsupported,
    /// A header name that is no token, white space before the colon, a folded line, no colon.
    HeaderName,
    /// A header value with a control character.
    HeaderValue,
    /// More header lines, or trailer lines, than the limit.
    TooManyHeaders,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// A 1.1 request without a `Host`.
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// A `Host` or an authority that is no host with an optional port.
    HostInvalid,
    /// A `Content-Length` that is no plain decimal number of 64 bits.
    ContentLength,
    /// More than one `Content-Length`, equal or not.
    ContentLengthRepeated,
    /// `Content-Length` and `Transfer-Encoding` together.
    LengthAndEncoding,
    /// A `Transfer-Encoding` that does not end in exactly one `chunked`, or is repeated.
    TransferEncoding,
    /// A `Transfer-Encoding` in a message of HTTP/1.0.
    EncodingInOldVersion,
    /// A well-formed transfer coding other than `chunked`.
    EncodingUnsupported,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// The body is, or says it will be, longer than the limit.
    BodyTooLarge,
    /// A chunk size that is not 1 to 16 hexadecimal digits.
    ChunkSize,
    /// A malformed chunk extension.
    ChunkExtension,
    /// More bytes of chunk extensions than the limit.
    ChunkExtensionsTooLong,
    /// The framing of the chunks outweighs their data by more than the limit.
    ChunkOverhead,
    /// The data of a chunk is not followed by CR LF.
    ChunkEnd,
    /// The trailer section is larger than the limit.
    TrailersTooLarge,
    /// The connection ended in the middle of a message.
    UnexpectedEnd,
    /// The head did not arrive in time. Raised by whoever owns the clock.
    HeadTimeout,
    /// The body came too slowly. Raised by whoever owns the clock.
    BodyTimeout,
    /// A response came that no request had asked for.
    UnexpectedResponse,
}

impl ProtocolError {
    /// The status to answer with.
    ///
    /// Nearly always 400; 408, 413, 414, 417, 431, 501 and 505 where RFC 9110 section 15 has
    /// something more exact to say.
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
            Self::HeaderValue => "control character in a header value",
            Self::TooManyHeaders => "too many headers",
            Self::HeadTooLarge => "the head is too large",
            Self::HostMissing => "the Host header is missing",
            Self::HostRepeated => "more than one Host header",
            Self::HostInvalid => "the host is no name or address with an optional port",
            Self::ContentLength => "Content-Length is no decimal number of 64 bits",
            Self::ContentLengthRepeated => "more than one Content-Length",
            Self::LengthAndEncoding => "both Content-Length and Transfer-Encoding",
            Self::TransferEncoding => "Transfer-Encoding does not end in exactly one chunked",
            Self::EncodingInOldVersion => "Transfer-Encoding in HTTP/1.0",
            Self::EncodingUnsupported => "no transfer coding but chunked is implemented",
            Self::Expectation => "no expectation but 100-continue can be met",
            Self::BodyTooLarge => "the body is too large",
            Self::ChunkSize => "a chunk size is not 1 to 16 hexadecimal digits",
            Self::ChunkExtension => "malformed chunk extension",
            Self::ChunkExtensionsTooLong => "the chunk extensions are too long",
            Self::ChunkOverhead => "the chunks have more framing than data",
            Self::ChunkEnd => "no CR LF after the data of a chunk",
            Self::TrailersTooLarge => "the trailers are too large",
            Self::UnexpectedEnd => "the connection ended in the middle of a message",
            Self::HeadTimeout => "the head did not arrive in time",
            Self::BodyTimeout => "the body came too slowly",
            Self::UnexpectedResponse => "a response came without a request",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl error::Error for ProtocolError {}

/// Why something that was to be sent is refused. Nothing of it has been written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// There is no message in progress that this would be a part of, or it has been sent before.
    OutOfTurn,
    /// A status that may not be sent here: 101 to a request that asked for no upgrade, or any 1xx
    /// as a whole answer, since it ends no request.
    Status(StatusCode),
    /// A `Transfer-Encoding` was set by hand; the framing is the connection's to decide.
    TransferEncoding,
    /// A `Content-Length` was set by hand that is no number or contradicts the body.
    ContentLength,
    /// A trailer that may not be one (RFC 9110 section 6.5.1), or holds CR, LF or NUL.
    Trailer,
    /// A request target that is empty or holds characters it may not.
    Target,
    /// A host that is no name or address with an optional port.
    Host,
    /// The body is longer than announced, by so many bytes.
    BodyTooLong(u64),
    /// The body is shorter than announced, by so many bytes.
    BodyTooShort(u64),
    /// A header name or value with characters it may not hold.
    Header,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTurn => f.write_str("no message is in progress that this belongs to"),
            Self::Status(status) => write!(f, "status {status} cannot be sent here"),
            Self::TransferEncoding => {
                f.write_str("Transfer-Encoding was set by hand; leave the framing to brigade")
            }
            Self::ContentLength => {
                f.write_str("the Content-Length set by hand contradicts the body; leave it out")
            }
            Self::Trailer => f.write_str("a trailer that may not be sent as one"),
            Self::Target => f.write_str("malformed request target"),
            Self::Host => f.write_str("the host is no name or address with an optional port"),
            Self::BodyTooLong(bytes) => {
                write!(f, "the body is {bytes} bytes longer than announced")
            }
            Self::BodyTooShort(bytes) => {
                write!(f, "the body is {bytes} bytes shorter than announced")
            }
            Self::Header => f.write_str("a header name or value with characters it may not hold"),
        }
    }
}

impl error::Error for EncodeError {}
