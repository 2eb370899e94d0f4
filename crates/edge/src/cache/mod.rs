//! The cache in front of a function: which requests it may answer, what the function sees of those, and who waits for whom.
//!
//! What is kept and for how long is the cache crate's; the way of such a request is `dispatch/cached`'s.

mod disk;
mod flights;
mod recording;
mod reply;
mod streamed;

use std::borrow::Cow;
use std::sync::Arc;

use everwarm_cache::control::Asks;
use everwarm_cache::entry::Variant;
use everwarm_cache::key::{Id, Listed, TARGET_BYTES_MAX, UrlRef, Values};
use everwarm_cache::store::{Place, Store};
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::request::{Request, RequestBody};
use everwarm_manifest::Cache;
use http::header::{self, HeaderName};
use http::uri::{Parts, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri};

use crate::admission::Gates;
use crate::head;

pub use disk::DiskReads;
pub(crate) use disk::{Large, Read, read};
pub(crate) use flights::{Joined, Landing, Lead, Patience};
pub(crate) use recording::{Head, Recording};
pub(crate) use reply::{Reply, reply};
pub(crate) use streamed::LargeContent;

/// See the module's documentation.
#[derive(Debug)]
pub struct Cached {
    pub(crate) rules: Cache,
    pub(crate) listed: Listed,
    pub(crate) function: Id,
    pub(crate) place: Place,
    pub(crate) store: Arc<Store>,
    pub(crate) flights: flights::Flights,
    pub(crate) reads: DiskReads,
    /// Bounds on requests that no instance is needed for.
    pub gates: Gates,
}

/// Why a request goes to the function as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Its method is none that answers are kept for; and may have changed what is kept.
    Method { is_safe: bool },
    /// It has this, which answers aren't kept by.
    Has(&'static str),
}

/// What is wanted of the cache, as the request has it.
pub(crate) struct WantedRef<'r> {
    pub(crate) asks: Asks,
    pub(crate) values: Values,
    request: &'r Request,
    host: Cow<'r, str>,
    target: &'r str,
}

impl<'r> WantedRef<'r> {
    /// What it gets of an answer goes by these.
    pub(crate) fn asked(&self) -> (&'r Method, &'r HeaderMap) {
        (self.request.method(), self.request.headers())
    }

    /// Where it goes.
    pub(crate) fn url(&self, app: Id) -> UrlRef<'_> {
        UrlRef {
            app,
            https: is_https(self.request.uri()),
            host: &self.host,
            target: self.target,
        }
    }

    /// The same for a request that has these fields, all that it came with.
    pub(crate) fn with_fields(&self, headers: HeaderMap) -> Wanted {
        let uri = self.request.uri();
        Wanted {
            method: self.request.method().clone(),
            headers,
            asks: self.asks,
            address: Address {
                https: is_https(uri),
                host: (*self.host).into(),
                uri: uri.clone(),
            },
            values: self.values.clone(),
        }
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

/// What is wanted of the cache.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// GET or HEAD.
    pub(crate) method: Method,
    /// All fields, as they came.
    pub(crate) headers: HeaderMap,
    pub(crate) asks: Asks,
    pub(crate) address: Address,
    pub(crate) values: Values,
}

/// Where a request goes, as what is kept has it.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    https: bool,
    host: Box<str>,
    uri: Uri,
}

impl Address {
    /// `None` for a request without a host or a path.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        target(request)?;
        Some(Self {
            https: is_https(request.uri()),
            host: host(request)?.into(),
            uri: request.uri().clone(),
        })
    }

    pub(crate) fn url(&self, app: Id) -> UrlRef<'_> {
        let target = self.uri.path_and_query();
        UrlRef {
            app,
            https: self.https,
            host: &self.host,
            target: target.map_or("/", |target| target.as_str()),
        }
    }

    /// Another place of the same origin that an answer names.
    pub(crate) fn beside(&self, location: &HeaderValue) -> Option<Self> {
        let location: Uri = location.to_str().ok()?.parse().ok()?;
        location
            .path_and_query()
            .filter(|target| target.as_str().starts_with('/'))?;
        let is_here = match (location.scheme(), location.authority()) {
            (None, None) => true,
            (Some(scheme), Some(host)) => {
                (*scheme == Scheme::HTTPS) == self.https
                    && host.as_str().eq_ignore_ascii_case(&self.host)
            }
            _ => false,
        };
        is_here.then(|| Self {
            uri: location,
            ..self.clone()
        })
    }
}

fn target(request: &Request) -> Option<&str> {
    let target = request.uri().path_and_query()?.as_str();
    target.starts_with('/').then_some(target)
}

/// In lower case, which nearly all are as they come.
fn host(request: &Request) -> Option<Cow<'_, str>> {
    let host = head::host(request)?;
    Some(if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    })
}

/// Fields that say that the answer is only wanted if the resource is in some state. The cache can't know.
static STATES: [HeaderName; 2] = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE];

impl Cached {
    /// The cache in front of a function.
    pub fn new(
        spec: &FunctionSpec,
        rules: &Cache,
        (store, reads): (&Arc<Store>, &DiskReads),
        gates: Gates,
    ) -> Self {
        let app = store.app(&spec.tenant, &spec.app);
        Self {
            listed: Listed::of(rules),
            rules: rules.clone(),
            function: Id::of_function(&spec.version, &spec.name),
            place: store.place(&app),
            store: Arc::clone(store),
            flights: flights::Flights::default(),
            reads: reads.clone(),
            gates,
        }
    }

    /// What a request wants of the cache.
    ///
    /// # Errors
    /// Why it is the function's.
    pub(crate) fn plan<'r>(&self, request: &'r Request) -> Result<WantedRef<'r>, Pass> {
        let method = request.method();
        if !matches!(*method, Method::GET | Method::HEAD) {
            let is_safe = method.is_safe();
            return Err(Pass::Method { is_safe });
        }
        // Its body would be a part of the request that answers aren't kept by.
        if !matches!(request.body(), RequestBody::Empty) {
            return Err(Pass::Has("body"));
        }
        let headers = request.headers();
        if headers.contains_key(header::AUTHORIZATION) && !self.rules.authorization {
            return Err(Pass::Has("authorization"));
        }
        if headers.contains_key(header::COOKIE)
            && !self.rules.ignore_cookies
            && !self.lists_cookies()
        {
            return Err(Pass::Has("cookie"));
        }
        if STATES.iter().any(|name| headers.contains_key(name)) {
            return Err(Pass::Has("if-match"));
        }
        let asks = Asks::of(headers);
        if asks.no_store {
            return Err(Pass::Has("no-store"));
        }
        let (Some(target), Some(host)) = (target(request), host(request)) else {
            return Err(Pass::Has("target"));
        };
        if target.len() > TARGET_BYTES_MAX {
            return Err(Pass::Has("long-target"));
        }
        let Some(values) = self.listed.values(headers) else {
            return Err(Pass::Has("long-fields"));
        };
        Ok(WantedRef {
            asks,
            values,
            request,
            host,
            target,
        })
    }

    fn lists_cookies(&self) -> bool {
        let mut listed = self.rules.vary.iter();
        listed.any(|name| name.as_str() == header::COOKIE.as_str())
    }

    /// The request that a function gets for an answer that may be kept: all of it is a part of what the answer is kept by.
    pub(crate) fn request(&self, wanted: &Wanted) -> Request {
        let mut request = Request::new(RequestBody::Empty);
        let headers = request.headers_mut();
        *headers = wanted.headers.clone();
        self.listed.withhold(headers);
        let address = &wanted.address;
        if let Ok(host) = HeaderValue::from_str(&address.host) {
            headers.insert(header::HOST, host);
        }
        *request.uri_mut() = address.normal();
        request
    }

    pub(crate) fn url<'w>(&self, wanted: &'w Wanted) -> UrlRef<'w> {
        wanted.address.url(self.place.app().id())
    }

    pub(crate) fn variant(&self, wanted: &Wanted) -> Variant {
        Variant {
            function: self.function,
            values: wanted.values.clone(),
        }
    }
}

impl Address {
    /// The URI as functions get it: in one form, however it was asked for. Without TLS the host is in its field alone.
    fn normal(&self) -> Uri {
        let mut parts = Parts::default();
        parts.path_and_query = self.uri.path_and_query().cloned();
        if self.https {
            parts.scheme = Some(Scheme::HTTPS);
            parts.authority = self.host.parse().ok();
        }
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }
}
