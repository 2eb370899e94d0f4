//! What can go wrong with a request that is sent, case by case, and each in words.

/// What went wrong: the cases of `error-code` of `wasi:http`, and three of this crate's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The request's URI has no scheme or no host. Nothing was sent.
    UriNotAbsolute,
    /// The host can't keep to a time-out that was asked for. Nothing was sent.
    TimeoutNotSupported,
    /// The stream that makes the request's body failed: it is the error's source.
    RequestBodyFailed,
    /// The name was not resolved in time.
    DnsTimeout,
    /// The name could not be resolved.
    DnsError,
    /// The host doesn't know where to send this.
    DestinationNotFound,
    /// The server is known to be out of reach.
    DestinationUnavailable,
    /// The server's address is one that functions may not connect to.
    DestinationIpProhibited,
    /// There is no route to the server's address.
    DestinationIpUnroutable,
    /// The server refused the connection.
    ConnectionRefused,
    /// The connection was closed before the response was whole.
    ConnectionTerminated,
    /// There was no connection in time.
    ConnectionTimeout,
    /// Nothing came for too long.
    ConnectionReadTimeout,
    /// Nothing could be written for too long.
    ConnectionWriteTimeout,
    /// The function, or the host, has as many connections as it may.
    ConnectionLimitReached,
    /// TLS failed.
    TlsProtocolError,
    /// The server's certificate is not to be trusted.
    TlsCertificateError,
    /// The server ended TLS with an alert.
    TlsAlertReceived,
    /// The function may not send this request: no grant allows it.
    HttpRequestDenied,
    /// The request's body must have a length that is declared.
    HttpRequestLengthRequired,
    /// The request's body is longer than is allowed, or has another length than its head says.
    HttpRequestBodySize,
    /// The host doesn't take the request's method.
    HttpRequestMethodInvalid,
    /// The host doesn't take the request's URI.
    HttpRequestUriInvalid,
    /// The request's URI is too long.
    HttpRequestUriTooLong,
    /// The request's headers are too long together.
    HttpRequestHeaderSectionSize,
    /// One of the request's headers is too long.
    HttpRequestHeaderSize,
    /// The request's trailers are too long together.
    HttpRequestTrailerSectionSize,
    /// One of the request's trailers is too long.
    HttpRequestTrailerSize,
    /// The response broke off.
    HttpResponseIncomplete,
    /// The response's headers are too long together.
    HttpResponseHeaderSectionSize,
    /// One of the response's headers is too long.
    HttpResponseHeaderSize,
    /// The response's body is longer than is allowed.
    HttpResponseBodySize,
    /// The response's trailers are too long together.
    HttpResponseTrailerSectionSize,
    /// One of the response's trailers is too long.
    HttpResponseTrailerSize,
    /// The response has a transfer coding that the host doesn't know.
    HttpResponseTransferCoding,
    /// The response has a content coding that the host doesn't know.
    HttpResponseContentCoding,
    /// There was no response in time.
    HttpResponseTimeout,
    /// The server didn't change to another protocol.
    HttpUpgradeFailed,
    /// The exchange did not keep to HTTP.
    HttpProtocolError,
    /// The request would come back to where it began.
    LoopDetected,
    /// The host is set up wrongly.
    ConfigurationError,
    /// The host failed. [`SendError::detail`] may say how.
    InternalError,
}

use SendErrorKind as Kind;

/// The cases of `error-code`, in the WIT's order.
#[cfg(any(target_family = "wasm", test))]
pub(crate) const CASES: [Kind; 39] = [
    Kind::DnsTimeout,
    Kind::DnsError,
    Kind::DestinationNotFound,
    Kind::DestinationUnavailable,
    Kind::DestinationIpProhibited,
    Kind::DestinationIpUnroutable,
    Kind::ConnectionRefused,
    Kind::ConnectionTerminated,
    Kind::ConnectionTimeout,
    Kind::ConnectionReadTimeout,
    Kind::ConnectionWriteTimeout,
    Kind::ConnectionLimitReached,
    Kind::TlsProtocolError,
    Kind::TlsCertificateError,
    Kind::TlsAlertReceived,
    Kind::HttpRequestDenied,
    Kind::HttpRequestLengthRequired,
    Kind::HttpRequestBodySize,
    Kind::HttpRequestMethodInvalid,
    Kind::HttpRequestUriInvalid,
    Kind::HttpRequestUriTooLong,
    Kind::HttpRequestHeaderSectionSize,
    Kind::HttpRequestHeaderSize,
    Kind::HttpRequestTrailerSectionSize,
    Kind::HttpRequestTrailerSize,
    Kind::HttpResponseIncomplete,
    Kind::HttpResponseHeaderSectionSize,
    Kind::HttpResponseHeaderSize,
    Kind::HttpResponseBodySize,
    Kind::HttpResponseTrailerSectionSize,
    Kind::HttpResponseTrailerSize,
    Kind::HttpResponseTransferCoding,
    Kind::HttpResponseContentCoding,
    Kind::HttpResponseTimeout,
    Kind::HttpUpgradeFailed,
    Kind::HttpProtocolError,
    Kind::LoopDetected,
    Kind::ConfigurationError,
    Kind::InternalError,
];

impl SendErrorKind {
    /// What happened, in words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Kind::UriNotAbsolute => {
                "the request's URI is not absolute: it needs a scheme and a host, as in \
                 https://example.com/items"
            }
            Kind::TimeoutNotSupported => "the host can't keep to a time-out that was asked for",
            Kind::RequestBodyFailed => "the request's body broke off",
            Kind::DnsTimeout => "the name was not resolved in time",
            Kind::DnsError => "the name could not be resolved",
            Kind::DestinationNotFound => "there is no such destination",
            Kind::DestinationUnavailable => "the server is out of reach",
            Kind::DestinationIpProhibited => {
                "the server's address is one that functions may not connect to"
            }
            Kind::DestinationIpUnroutable => "there is no route to the server's address",
            Kind::ConnectionRefused => "the server refused the connection",
            Kind::ConnectionTerminated => "the connection was closed too early",
            Kind::ConnectionTimeout => "there was no connection in time",
            Kind::ConnectionReadTimeout => "nothing came from the server for too long",
            Kind::ConnectionWriteTimeout => "the server took nothing for too long",
            Kind::ConnectionLimitReached => "there are as many connections as there may be",
            Kind::TlsProtocolError => "TLS failed",
            Kind::TlsCertificateError => "the server's certificate is not to be trusted",
            Kind::TlsAlertReceived => "the server ended TLS with an alert",
            Kind::HttpRequestDenied => {
                "the manifest grants no such host: add it to `http` in [function.grants]"
            }
            Kind::HttpRequestLengthRequired => "the request's body needs a length that is declared",
            Kind::HttpRequestBodySize => {
                "the request's body is too long, or not as long as its head says"
            }
            Kind::HttpRequestMethodInvalid => "the host doesn't take the request's method",
            Kind::HttpRequestUriInvalid => "the host doesn't take the request's URI",
            Kind::HttpRequestUriTooLong => "the request's URI is too long",
            Kind::HttpRequestHeaderSectionSize => "the request's headers are too long",
            Kind::HttpRequestHeaderSize => "a header of the request is too long",
            Kind::HttpRequestTrailerSectionSize => "the request's trailers are too long",
            Kind::HttpRequestTrailerSize => "a trailer of the request is too long",
            Kind::HttpResponseIncomplete => "the response broke off",
            Kind::HttpResponseHeaderSectionSize => "the response's headers are too long",
            Kind::HttpResponseHeaderSize => "a header of the response is too long",
            Kind::HttpResponseBodySize => "the response's body is too long",
            Kind::HttpResponseTrailerSectionSize => "the response's trailers are too long",
            Kind::HttpResponseTrailerSize => "a trailer of the response is too long",
            Kind::HttpResponseTransferCoding => "the response's transfer coding is unknown",
            Kind::HttpResponseContentCoding => "the response's content coding is unknown",
            Kind::HttpResponseTimeout => "there was no response in time",
            Kind::HttpUpgradeFailed => "the server didn't change to another protocol",
            Kind::HttpProtocolError => "the exchange did not keep to HTTP",
            Kind::LoopDetected => "the request would come back to where it began",
            Kind::ConfigurationError => "the host is set up wrongly",
            Kind::InternalError => "the host failed",
        }
    }

    pub(super) fn is_timeout(self) -> bool {
        matches!(
            self,
            Kind::DnsTimeout
                | Kind::ConnectionTimeout
                | Kind::ConnectionReadTimeout
                | Kind::ConnectionWriteTimeout
                | Kind::HttpResponseTimeout
        )
    }

    /// What the number is of that came with this kind: what stands before it, and what behind it.
    pub(super) fn unit(self) -> (&'static str, &'static str) {
        match self {
            Kind::DnsError => ("code ", ""),
            Kind::TlsAlertReceived => ("alert ", ""),
            _ => ("", " bytes"),
        }
    }
}
