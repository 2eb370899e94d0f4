//! Why a request that a guest sends comes to nothing: the cases of `error-code` of `wasi:http` that this host
//! knows, with their words for the log.

use std::sync::Arc;

/// Why a request that a guest sends comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The manifest grants no such request.
    #[error("no grant allows this request")]
    Denied,
    /// The request has sent as many as its limit `subrequests` allows.
    #[error("the request has sent {0} requests, which is its limit `subrequests`")]
    TooMany(u32),
    /// No URI to send to.
    #[error("the request has no valid URI")]
    UriInvalid,
    /// A method that can't be sent: CONNECT.
    #[error("the method can't be sent")]
    MethodInvalid,
    /// No answer from the name servers in time.
    #[error("the name servers didn't answer in time")]
    DnsTimeout,
    /// The name servers failed.
    #[error("the name couldn't be looked up: {0}")]
    Dns(Arc<str>),
    /// There is no such name.
    #[error("there is no such name")]
    DestinationNotFound,
    /// Nobody could be reached at any address.
    #[error("nobody could be reached: {0}")]
    DestinationUnavailable(Arc<str>),
    /// The name's addresses aren't public, and no grant lists them.
    #[error("the address isn't public, and the manifest doesn't list it")]
    IpProhibited,
    /// There is no way to the address.
    #[error("there is no route to the address")]
    IpUnroutable,
    /// The other side refused the connection.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// The other side ended the connection before its response was complete.
    #[error("the connection ended before the response was complete")]
    ConnectionTerminated,
    /// No connection in time.
    #[error("there was no connection in time")]
    ConnectionTimeout,
    /// Nothing came for too long.
    #[error("nothing came of the response for too long")]
    ReadTimeout,
    /// No more connections may be open.
    #[error("too many requests are on their way already")]
    ConnectionLimit,
    /// TLS could not be agreed on.
    #[error("TLS failed: {0}")]
    TlsProtocol(Arc<str>),
    /// The other side's certificate isn't good for this name.
    #[error("the certificate isn't valid for this name: {0}")]
    TlsCertificate(Arc<str>),
    /// The other side ended TLS with an alert.
    #[error("the other side ended TLS with alert {0}: {1}")]
    TlsAlert(u8, Arc<str>),
    /// What came is no HTTP.
    #[error("the other side doesn't keep to HTTP: {0}")]
    Protocol(Arc<str>),
    /// The response's head is larger than this host reads.
    #[error("the response's head is too large")]
    HeadTooLarge,
    /// The request's body is larger than the limit, in bytes.
    #[error("the body is larger than the limit `subrequest_body`, {0} bytes")]
    RequestBodyTooLarge(u64),
    /// The response's body is larger than the limit, in bytes.
    #[error("the response's body is larger than the limit `subrequest_body`, {0} bytes")]
    ResponseBodyTooLarge(u64),
    /// The guest gave less of the request's body than it said, or broke it off.
    #[error("the request's body broke off")]
    BodyBroken,
    /// Functions call each other too deep.
    #[error("functions call each other too deep: a loop, most likely")]
    LoopDetected,
    /// Anything else.
    #[error("{0}")]
    Internal(Arc<str>),
}
