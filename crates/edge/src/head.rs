//! A request's head as it came, and as guests get it.
//!
//! Owns what is refused before anything else is looked at, which fields never come in from outside, and what the
//! host says in their place: who the client is, how it asked, and the request's name. Knows no connections' state.

mod host;
mod traced;

pub(crate) use traced::say as say_trace;

use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Arc;

use everwarm_engine::outbound::SentFrom;
use everwarm_engine::request::{MoreFields, Request};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Uri};

use crate::dispatch::Policy;
use crate::forwarded::{self, Said, TrustedProxies};
use crate::meter::RequestId;
use crate::respond::Failure;

/// Names the request, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What only this node may say begins so.
const OURS: &str = "everwarm-";
/// What only proxies may say begins so.
const PROXIES: &str = "x-forwarded-";
/// The longest request id of a proxy that is taken over.
const ID_BYTES_MAX: usize = 128;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    address: IpAddr,
    /// Made once for all requests of the connection.
    address_field: HeaderValue,
    https: bool,
    trusted: bool,
}

impl Peer {
    /// The peer at `address`, which spoke TLS or not.
    pub fn new(address: IpAddr, https: bool, proxies: &TrustedProxies) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            address_field: field(&address.to_string()),
            https,
            trusted: proxies.has(address),
        }
    }
}

/// What is known of a request when its head was received.
pub struct Arrival {
    /// Its name.
    pub request_id: RequestId,
    /// The client's address, if it came over a socket.
    pub client: Option<IpAddr>,
    /// Why it can't be served, if it can't.
    pub refused: Option<Failure>,
    /// What the function is told of it besides what it came with.
    pub more: MoreFields,
}

/// The host that a request is for: the URI's in HTTP/2, the `Host` field's in HTTP/1.1.
pub fn host(request: &Request) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    request.headers().get(header::HOST)?.to_str().ok()
}

/// Takes a request in: checks its head, and makes of it what guests get. Without a peer (a request that the node's
/// owner sends, or a function of the app, whose place in a trace is known) only what the node itself says is replaced.
pub fn receive(
    request: &mut Request,
    (peer, sent_from): (Option<&Arc<Peer>>, Option<SentFrom>),
    policy: &Policy,
    number: u64,
) -> Arrival {
    let Policy {
        trusted_proxies: proxies,
        recorded,
        ..
    } = policy;
    let refused = check(request, peer.is_some()).err();
    let trusted = peer.is_some_and(|peer| peer.trusted);
    let headers = request.headers_mut();
    let request_id = RequestId::new(number, trusted.then(|| given_id(headers)).flatten());
    let said = peer
        .filter(|peer| peer.trusted)
        .map(|peer| forwarded::resolve(headers, peer.address, proxies));
    let names_trace = strip(headers, peer.is_some(), trusted);
    let request_id = if names_trace || sent_from.is_some() || recorded.is_some() {
        let is_believed = trusted || peer.is_none();
        traced::traced(request_id, headers, sent_from, is_believed, *recorded)
    } else {
        request_id
    };
    let Some(peer) = peer else {
        return Arrival {
            request_id: request_id.clone(),
            client: None,
            refused,
            more: Box::new(move |headers| {
                headers.insert(REQUEST_ID, request_id.field());
                traced::say(headers, &request_id);
            }),
        };
    };
    let (client, https) = match &said {
        None => (peer.address, peer.https),
        Some(said) => (said.client, said.https.unwrap_or(peer.https)),
    };
    let named = said.as_ref().and_then(|said| said.host.as_ref());
    let refused = refused.or_else(|| host::check_named(named?).err());
    readdress(request, https, said);
    Arrival {
        request_id: request_id.clone(),
        client: Some(client),
        refused,
        more: more_fields(request_id, Arc::clone(peer), client, https),
    }
}

fn more_fields(id: RequestId, peer: Arc<Peer>, client: IpAddr, https: bool) -> MoreFields {
    Box::new(move |headers| {
        let client = if client == peer.address {
            peer.address_field.clone()
        } else {
            field(&client.to_string())
        };
        let scheme = HeaderValue::from_static(if https { "https" } else { "http" });
        headers.insert(REQUEST_ID, id.field());
        headers.insert(&FORWARDED_FOR, client);
        headers.insert(&FORWARDED_PROTO, scheme);
        traced::say(headers, &id);
    })
}

/// A request that the node itself sends to a function.
pub(crate) fn of_the_node(request_id: RequestId) -> Arrival {
    Arrival {
        request_id: request_id.clone(),
        client: None,
        refused: None,
        more: Box::new(move |headers| {
            headers.insert(REQUEST_ID, request_id.field());
            traced::say(headers, &request_id);
        }),
    }
}

/// What a request must be to be served. What a parser lets through and two readers might read in two ways is
/// refused here (RFC 9112, section 3.2; RFC 9110, section 7.2).
fn check(request: &Request, from_outside: bool) -> Result<(), Failure> {
    let headers = request.headers();
    if request.method() == Method::CONNECT {
        return Err(Failure::BadRequest(
            "CONNECT is for proxies, and this is none",
        ));
    }
    if from_outside {
        host::check(request)?;
    }
    // HTTP/2 has no upgrades; what it says of them means nothing (RFC 9113, section 8.2.2).
    if headers.contains_key(header::UPGRADE) && wants_upgrade(headers) {
        return Err(Failure::Upgrade);
    }
    Ok(())
}

/// Whether `Connection` names `upgrade` (RFC 9110, section 7.8). An upgrade to HTTP/2 may be ignored, and is: prior
/// knowledge is the way to it.
fn wants_upgrade(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, wanted: fn(&str) -> bool| {
        let values = headers.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|option| wanted(option.trim()))
    };
    has(header::CONNECTION, |option| {
        option.eq_ignore_ascii_case("upgrade")
    }) && has(header::UPGRADE, |protocol| {
        !protocol.is_empty() && !protocol.eq_ignore_ascii_case("h2c")
    })
}

/// The name that a trusted proxy gave the request: letters, digits and what ids have between them.
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte);
    let fits = (1..=ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain);
    // A copy: the value is a part of the whole head, and lines that are kept for long have the name.
    fits.then(|| HeaderValue::from_bytes(id.as_bytes()).ok())?
}

/// Removes what must not come in. What a trusted proxy says of its own stays, but for what is said anew. Tells whether
/// a trace is named, since all names are looked at here.
fn strip(headers: &mut HeaderMap, from_outside: bool, trusted: bool) -> bool {
    let mut names_trace = false;
    let is_out = |name: &HeaderName| {
        let name = name.as_str();
        // Nearly no field begins with one of these.
        match name.as_bytes().first() {
            Some(b'e') => name.starts_with(OURS),
            Some(b'f') => from_outside && name == header::FORWARDED.as_str(),
            Some(b'x') if from_outside => {
                name == REAL_IP.as_str()
                    || name == REQUEST_ID.as_str()
                    || name == FORWARDED_HOST.as_str()
                    || (name.starts_with(PROXIES) && !trusted)
            }
            _ => false,
        }
    };
    let mut has_out = false;
    for name in headers.keys() {
        has_out |= is_out(name);
        names_trace |= name.as_str().as_bytes().first() == Some(&b't') && traced::is_field(name);
    }
    if !has_out {
        return names_trace;
    }
    let out: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_out(name))
        .cloned()
        .collect();
    for name in out {
        headers.remove(name);
    }
    names_trace
}

/// Sees to it that routes and guests see the scheme that the client spoke, and the host that it asked for.
fn readdress(request: &mut Request, https: bool, said: Option<Said>) {
    let scheme = if https { Scheme::HTTPS } else { Scheme::HTTP };
    let forwarded_host = said.and_then(|said| said.host);
    let said_scheme = request.uri().scheme();
    let is_right = said_scheme.map_or(!https, |said| *said == scheme);
    if is_right && forwarded_host.is_none() {
        return;
    }
    if let Some(host) = &forwarded_host {
        request
            .headers_mut()
            .insert(header::HOST, field(host.as_str()));
    }
    let asked = request.uri().authority().cloned();
    let authority = forwarded_host.or(asked).or_else(|| {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        Authority::from_str(host).ok()
    });
    let path = request.uri().path_and_query();
    let path = path.filter(|path| path.as_str().starts_with('/'));
    // Without an authority a URI has no place for a scheme.
    let (Some(authority), Some(path)) = (authority, path) else {
        return;
    };
    if let Some(uri) = uri(scheme, authority, path.clone()) {
        *request.uri_mut() = uri;
    }
}

fn uri(scheme: Scheme, authority: Authority, path: PathAndQuery) -> Option<Uri> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

fn field(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use everwarm_engine::request::RequestBody;

    use super::*;

    const PROXY: [u8; 4] = [10, 0, 0, 1];
    const STRANGER: [u8; 4] = [203, 0, 113, 7];

    fn request(uri: &str, fields: &[(&'static str, &str)]) -> Request {
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(*name, value);
        }
        request
    }

    fn received(request: &mut Request, from: [u8; 4]) -> Arrival {
        let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let peer = Arc::new(Peer::new(from.into(), false, &proxies));
        seen_by_a_function(request, Some(&peer), &proxies)
    }

    /// As a function that looks at the fields gets it.
    fn seen_by_a_function(
        request: &mut Request,
        peer: Option<&Arc<Peer>>,
        proxies: &TrustedProxies,
    ) -> Arrival {
        let policy = Policy {
            requests_max: 1,
            server_timing: false,
            trusted_proxies: proxies.clone(),
            recorded: None,
        };
        let mut arrival = receive(request, (peer, None), &policy, 7);
        let more = std::mem::replace(&mut arrival.more, Box::new(|_| {}));
        more(request.headers_mut());
        arrival
    }

    fn code(uri: &str, fields: &[(&'static str, &str)]) -> Option<&'static str> {
        let arrival = received(&mut request(uri, fields), STRANGER);
        arrival.refused.map(|failure| failure.code())
    }

    #[test]
    fn host_is_there_once_and_is_one() {
        for host in [
            "a",
            "a.example:80",
            "internal.example",
            "notinternal",
            "[::1]:3000",
            "xn--a.b_c",
            "127.0.0.1",
            "a:",
        ] {
            assert_eq!(code("/", &[("host", host)]), None, "{host}");
        }
        let long = ["a", "a:123456"];
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "u@a",
            "a,b",
            "a:x",
            "[::1",
            "[x]",
            "caf\u{e9}",
            "a%00",
            "internal",
            "shop.INTERNAL:80",
            "f.everwarm.internal.",
            long[1],
        ] {
            assert_eq!(code("/", &[("host", host)]), Some("EW3016"), "{host}");
        }
        assert_eq!(code("/", &[]), Some("EW3016"));
        assert_eq!(code("/", &[("host", "a"), ("host", "a")]), Some("EW3016"));
        assert_eq!(code("http://b/", &[("host", "a")]), Some("EW3016"));
        assert_eq!(code("http://u@a/", &[]), Some("EW3016"));
        assert_eq!(code("http://a/", &[("host", "A")]), None);
    }

    #[test]
    fn proxy_that_is_trusted_names_no_internal_host_either() {
        let fields = [("host", "inner"), ("x-forwarded-host", "a.internal")];
        let arrival = received(&mut request("/", &fields), PROXY);
        assert!(arrival.refused.is_some());
    }

    #[test]
    fn upgrades_are_told_from_what_is_none() {
        let upgrade = |connection: &str, protocol: &str| {
            code(
                "/",
                &[
                    ("host", "a"),
                    ("connection", connection),
                    ("upgrade", protocol),
                ],
            )
        };
        assert_eq!(upgrade("keep-alive, Upgrade", "websocket"), Some("EW3019"));
        assert_eq!(upgrade("upgrade", "h2c, websocket"), Some("EW3019"));
        assert_eq!(upgrade("Upgrade, HTTP2-Settings", "h2c"), None);
        assert_eq!(upgrade("keep-alive", "websocket"), None);
        assert_eq!(upgrade("x-upgrade", "websocket"), None);
        let two = [
            ("host", "a"),
            ("connection", "close"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
        ];
        assert_eq!(code("/", &two), Some("EW3019"));
    }

    const TOLD: [(&str, &str); 8] = [
        ("host", "inner"),
        ("everwarm-error", "EW1"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "1.2.3.4"),
        ("x-request-id", "abc-123"),
    ];

    #[test]
    fn strangers_say_nothing_of_who_they_are() {
        let mut request = request("/", &TOLD);
        let arrival = received(&mut request, STRANGER);
        assert_eq!(arrival.client, Some(STRANGER.into()));
        assert_eq!(arrival.request_id.to_string(), "0000000000000007");
        let headers = request.headers();
        assert_eq!(headers["x-forwarded-for"], "203.0.113.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-request-id"], "0000000000000007");
        assert_eq!(headers["host"], "inner");
        for name in [
            "everwarm-error",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-real-ip",
        ] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert!(headers.contains_key("traceparent"));
        assert_eq!(headers.len(), 5);
        assert_eq!(request.uri().scheme(), None);
    }

    #[test]
    fn proxies_that_are_trusted_say_who_asked_for_what() {
        let mut request = request("/path?q", &TOLD);
        let arrival = received(&mut request, PROXY);
        assert_eq!(arrival.client, Some([1, 2, 3, 4].into()));
        assert_eq!(arrival.request_id.to_string(), "abc-123");
        assert_eq!(request.uri(), "https://shop.example.com/path?q");
        let headers = request.headers();
        assert_eq!(headers["host"], "shop.example.com");
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-port"], "443");
        assert_eq!(headers["x-request-id"], "abc-123");
        for name in ["everwarm-error", "x-forwarded-host", "x-real-ip"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn id_that_is_none_is_made_anew() {
        for id in ["", "a b", "a\"b", "caf\u{e9}", &"a".repeat(129)] {
            let mut request = request("/", &[("host", "a"), ("x-request-id", id)]);
            let arrival = received(&mut request, PROXY);
            assert_eq!(arrival.request_id.to_string(), "0000000000000007", "{id}");
        }
    }

    #[test]
    fn scheme_is_the_connections_whatever_the_target_says() {
        let mut asked = request("https://a/x", &[("host", "a")]);
        received(&mut asked, STRANGER);
        assert_eq!(asked.uri(), "http://a/x");
    }

    #[test]
    fn scheme_is_https_where_the_bytes_came_in_tls() {
        let address = |host: Option<&str>, target: &str| {
            let host = host.map(|host| ("host", host));
            let mut request = request(target, host.as_slice());
            let proxies = TrustedProxies::default();
            let peer = Arc::new(Peer::new(STRANGER.into(), true, &proxies));
            seen_by_a_function(&mut request, Some(&peer), &proxies);
            assert_eq!(request.headers()["x-forwarded-proto"], "https");
            request.uri().to_string()
        };
        let host = Some("a.example:8443");
        assert_eq!(address(host, "/x?y=1"), "https://a.example:8443/x?y=1");
        assert_eq!(address(None, "http://b.example/x"), "https://b.example/x");
        assert_eq!(address(host, "https://b.example/x"), "https://b.example/x");
        assert_eq!(address(host, "*"), "*");
        for unusable in [None, Some(""), Some("a b")] {
            assert_eq!(address(unusable, "/x"), "/x");
        }
    }

    #[test]
    fn owner_of_the_node_may_say_what_a_proxy_would() {
        let mut request = request("/", &TOLD);
        let arrival = seen_by_a_function(&mut request, None, &TrustedProxies::default());
        assert!(arrival.refused.is_none() && arrival.client.is_none());
        assert_eq!(request.headers()["x-forwarded-for"], "1.2.3.4");
        assert!(!request.headers().contains_key("everwarm-error"));
    }
}
