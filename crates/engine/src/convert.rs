//! Conversions between the `http` crate and `wasi:http`, whose two versions spell methods and
//! schemes the same way in different types.

/// Implements the conversions for one version's generated types.
macro_rules! http_conversions {
    ($Method:ident, $Scheme:ident, $types:ident) => {
        impl From<&http::Method> for $Method {
            fn from(method: &http::Method) -> Self {
                match *method {
                    http::Method::GET => Self::Get,
                    http::Method::HEAD => Self::Head,
                    http::Method::POST => Self::Post,
                    http::Method::PUT => Self::Put,
                    http::Method::DELETE => Self::Delete,
                    http::Method::CONNECT => Self::Connect,
                    http::Method::OPTIONS => Self::Options,
                    http::Method::TRACE => Self::Trace,
                    http::Method::PATCH => Self::Patch,
                    _ => Self::Other(method.as_str().to_owned()),
                }
            }
        }

        impl TryFrom<$Method> for http::Method {
            type Error = http::method::InvalidMethod;

            fn try_from(method: $Method) -> Result<Self, Self::Error> {
                Ok(match method {
                    $Method::Get => Self::GET,
                    $Method::Head => Self::HEAD,
                    $Method::Post => Self::POST,
                    $Method::Put => Self::PUT,
                    $Method::Delete => Self::DELETE,
                    $Method::Connect => Self::CONNECT,
                    $Method::Options => Self::OPTIONS,
                    $Method::Trace => Self::TRACE,
                    $Method::Patch => Self::PATCH,
                    $Method::Other(method) => method.parse()?,
                })
            }
        }

        impl From<&http::uri::Scheme> for $Scheme {
            fn from(scheme: &http::uri::Scheme) -> Self {
                if *scheme == http::uri::Scheme::HTTP {
                    Self::Http
                } else if *scheme == http::uri::Scheme::HTTPS {
                    Self::Https
                } else {
                    Self::Other(scheme.as_str().to_owned())
                }
            }
        }

        impl TryFrom<$Scheme> for http::uri::Scheme {
            type Error = http::uri::InvalidUri;

            fn try_from(scheme: $Scheme) -> Result<Self, Self::Error> {
                match scheme {
                    $Scheme::Http => Ok(Self::HTTP),
                    $Scheme::Https => Ok(Self::HTTPS),
                    $Scheme::Other(scheme) => scheme.parse(),
                }
            }
        }

        impl From<crate::outbound::SendError> for $types::ErrorCode {
            fn from(error: crate::outbound::SendError) -> Self {
                use crate::outbound::SendError as E;

                match error {
                    E::Denied => Self::HttpRequestDenied,
                    E::UriInvalid => Self::HttpRequestUriInvalid,
                    E::MethodInvalid => Self::HttpRequestMethodInvalid,
                    E::DnsTimeout => Self::DnsTimeout,
                    E::Dns(what) => Self::DnsError($types::DnsErrorPayload {
                        rcode: Some(what.to_string()),
                        info_code: None,
                    }),
                    E::DestinationNotFound => Self::DestinationNotFound,
                    E::DestinationUnavailable(_) => Self::DestinationUnavailable,
                    E::IpProhibited => Self::DestinationIpProhibited,
                    E::IpUnroutable => Self::DestinationIpUnroutable,
                    E::ConnectionRefused => Self::ConnectionRefused,
                    E::ConnectionTerminated => Self::ConnectionTerminated,
                    E::ConnectionTimeout => Self::ConnectionTimeout,
                    E::ReadTimeout => Self::ConnectionReadTimeout,
                    E::ConnectionLimit => Self::ConnectionLimitReached,
                    E::TlsProtocol(_) => Self::TlsProtocolError,
                    E::TlsCertificate(_) => Self::TlsCertificateError,
                    E::TlsAlert(id, message) => {
                        Self::TlsAlertReceived($types::TlsAlertReceivedPayload {
                            alert_id: Some(id),
                            alert_message: Some(message.to_string()),
                        })
                    }
                    E::Protocol(_) => Self::HttpProtocolError,
                    E::LoopDetected => Self::LoopDetected,
                    E::HeadTooLarge => Self::HttpResponseHeaderSectionSize(None),
                    E::RequestBodyTooLarge(limit) => Self::HttpRequestBodySize(Some(limit)),
                    E::ResponseBodyTooLarge(limit) => Self::HttpResponseBodySize(Some(limit)),
                    E::TooMany(_) | E::BodyBroken | E::Internal(_) => {
                        Self::InternalError(Some(error.to_string()))
                    }
                }
            }
        }

        impl From<crate::request::Broken> for $types::ErrorCode {
            fn from(broken: crate::request::Broken) -> Self {
                match broken.code {
                    Some(code) => code.into(),
                    None => Self::InternalError(Some(broken.reason.to_string())),
                }
            }
        }
    };
}

pub(crate) use http_conversions;
