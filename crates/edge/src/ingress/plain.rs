//! What a listener without TLS answers by itself: challenges of a certificate authority and, if it is told so, that
//! all else is to be asked for by HTTPS.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use everwarm_engine::invoke::GuestBody;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode, header};

/// Where challenges are asked for (RFC 8555, section 8.3).
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// The port that addresses with `https` imply.
const HTTPS_PORT: u16 = 443;

/// Knows the answers to challenges.
pub trait Challenges: Send + Sync {
    /// The answer to a challenge, if it is one that is waited for.
    fn answer(&self, token: &str) -> Option<String>;
}

/// See the module's documentation.
#[derive(Clone, Default)]
pub struct Plain {
    /// Answered before anything else.
    pub challenges: Option<Arc<dyn Challenges>>,
    /// The port that the same hosts speak HTTPS at; `None` serves without it.
    pub https_port: Option<u16>,
}

impl Plain {
    /// Whether there is anything that it answers.
    pub fn has_answers(&self) -> bool {
        self.challenges.is_some() || self.https_port.is_some()
    }

    /// The response that the listener has for a request, if the request isn't for a function.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Option<Response<GuestBody>> {
        if let Some(challenges) = &self.challenges
            && let Some(token) = request.uri().path().strip_prefix(CHALLENGE_PATH)
            && let Some(answer) = challenges.answer(token)
        {
            return Some(Response::new(GuestBody::full(Bytes::from(answer))));
        }
        let port = self.https_port?;
        let mut response = Response::new(GuestBody::full(Bytes::new()));
        match location(request, port) {
            Some(location) => {
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(header::LOCATION, location);
            }
            None => *response.status_mut() = StatusCode::BAD_REQUEST,
        }
        Some(response)
    }
}

/// The same address with `https`. `None` where the request doesn't name a host that could be asked.
fn location<B>(request: &Request<B>, port: u16) -> Option<HeaderValue> {
    let uri = request.uri();
    let named = if let Some(authority) = uri.authority() {
        authority.clone()
    } else {
        let host = request.headers().get(header::HOST)?;
        Authority::try_from(host.as_bytes()).ok()?
    };
    // Whoever writes a user into it wants to be taken for another host.
    if named.as_str().contains('@') || named.host().is_empty() {
        return None;
    }
    let path = uri.path_and_query()?;
    if !path.as_str().starts_with('/') {
        return None;
    }
    let host = named.host();
    let location = match port {
        HTTPS_PORT => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    HeaderValue::try_from(location).ok()
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain")
            .field("https_port", &self.https_port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Challenges for One {
        fn answer(&self, token: &str) -> Option<String> {
            (token == "token").then(|| "token.thumbprint".to_owned())
        }
    }

    fn asked(plain: &Plain, host: &str, target: &str) -> Option<(u16, String)> {
        let request = Request::get(target).header("host", host).body(()).unwrap();
        let response = plain.answer(&request)?;
        let location = response.headers().get(header::LOCATION);
        let location = location.map_or("", |location| location.to_str().unwrap());
        Some((response.status().as_u16(), location.to_owned()))
    }

    #[test]
    fn https_has_the_same_host_path_and_query() {
        let plain = |port| Plain {
            challenges: None,
            https_port: Some(port),
        };
        let to = |text: &str| Some((308, text.to_owned()));
        let asked_at = |port, host, target| asked(&plain(port), host, target);
        assert_eq!(
            asked_at(443, "a.example", "/x?y=1"),
            to("https://a.example/x?y=1")
        );
        assert_eq!(
            asked_at(8443, "a.example:80", "/"),
            to("https://a.example:8443/")
        );
        assert_eq!(asked_at(443, "[::1]:80", "//x"), to("https://[::1]//x"));
        assert_eq!(
            asked_at(443, "b.example", "http://a.example:80/x"),
            to("https://a.example/x")
        );
        assert_eq!(asked_at(443, "a.example", "*"), Some((400, String::new())));
        for host in ["", "a@b.example", "a b", "a/b", ":80"] {
            assert_eq!(
                asked_at(443, host, "/"),
                Some((400, String::new())),
                "{host}"
            );
        }
    }

    #[test]
    fn challenges_come_first_and_unknown_ones_are_like_any_request() {
        let mut plain = Plain {
            challenges: Some(Arc::new(One)),
            https_port: None,
        };
        let path = |token: &str| format!("{CHALLENGE_PATH}{token}");
        let known = Some((200, String::new()));
        assert_eq!(asked(&plain, "a.example", &path("token")), known);
        assert_eq!(asked(&plain, "a.example", &path("other")), None);
        assert_eq!(asked(&plain, "a.example", "/token"), None);
        plain.https_port = Some(443);
        assert_eq!(asked(&plain, "a.example", &path("token")), known);
        assert_eq!(asked(&plain, "a.example", &path("other")).unwrap().0, 308);
    }
}
