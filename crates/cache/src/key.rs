//! What answers are kept by, and what a function sees of a request that its answer may be kept for: the same. Pure.
//!
//! A field that a function reads and the cache doesn't go by is how a stranger's request decides what others get. So there is
//! none: all that the function sees is the method, the scheme, the host, the path, the query and the fields that its manifest
//! lists, and all of those are a part of what its answer is kept by, byte for byte.

use std::hash::{Hash, Hasher};

use everwarm_manifest::{AppName, Cache, FunctionName, TenantId};
use hashbrown::Equivalent;
use http::{HeaderMap, HeaderName, header};
use sha2::{Digest as _, Sha256};

/// The longest path and query that answers are kept by, in bytes.
pub const TARGET_BYTES_MAX: usize = 8 << 10;
/// The most bytes of listed fields that answers are kept by.
pub const LISTED_BYTES_MAX: usize = 4 << 10;

/// Names something across the whole node, in few bytes that are compared fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 16]);

impl Id {
    /// An app's.
    pub fn of_app(tenant: &TenantId, app: &AppName) -> Self {
        Self::of(&[tenant.as_str(), app.as_str()])
    }

    /// That of a function of a version: a version is its content, so a rollback finds what it had, and nothing of another.
    pub fn of_function(version: &str, function: &FunctionName) -> Self {
        Self::of(&[version, function.as_str()])
    }

    /// As it is written.
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// As it was written.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }
}

/// A URL of an app. What is kept of it is in one place, whichever version or function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    app: Id,
    https: bool,
    host: Box<str>,
    target: Box<str>,
}

/// The same, borrowed from a request.
#[derive(Debug, Clone, Copy)]
pub struct UrlRef<'r> {
    /// Whose it is.
    pub app: Id,
    /// Whether the client spoke TLS.
    pub https: bool,
    /// In lower case, with its port if it was sent with one.
    pub host: &'r str,
    /// Path and query, as they were sent.
    pub target: &'r str,
}

impl UrlRef<'_> {
    /// One that lives on.
    pub fn to_owned(self) -> Url {
        Url {
            app: self.app,
            https: self.https,
            host: self.host.into(),
            target: self.target.into(),
        }
    }
}

impl Url {
    /// One by its parts.
    pub(crate) fn new(app: Id, https: bool, host: &str, target: &str) -> Self {
        let borrowed = UrlRef {
            app,
            https,
            host,
            target,
        };
        borrowed.to_owned()
    }

    /// Whether the client spoke TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// Borrowed.
    pub fn borrowed(&self) -> UrlRef<'_> {
        UrlRef {
            app: self.app,
            https: self.https,
            host: &self.host,
            target: &self.target,
        }
    }

    /// Whose it is.
    pub fn app(&self) -> Id {
        self.app
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        2 * size_of::<Self>() + self.host.len() + self.target.len()
    }
}

impl Hash for UrlRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.app.hash(state);
        self.https.hash(state);
        self.host.hash(state);
        self.target.hash(state);
    }
}

impl Hash for Url {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl Equivalent<Url> for UrlRef<'_> {
    fn equivalent(&self, key: &Url) -> bool {
        self.app == key.app
            && self.https == key.https
            && *self.target == *key.target
            && *self.host == *key.host
    }
}

/// The fields that answers of one function are kept apart by.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    names: Vec<HeaderName>,
    authorization: bool,
}

/// What a request has of the listed fields, unambiguously.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Values(Box<[u8]>);

impl Values {
    /// As they are written.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As they were written.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// How many bytes it takes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no field is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Listed {
    /// Those of a manifest.
    pub fn of(rules: &Cache) -> Self {
        let names = rules.vary.iter();
        Self {
            // A manifest's names are names.
            names: names
                .filter_map(|name| name.as_str().parse().ok())
                .collect(),
            authorization: rules.authorization,
        }
    }

    /// What a request has of them. `None` when that is more than answers are kept by.
    pub fn values(&self, headers: &HeaderMap) -> Option<Values> {
        if self.names.is_empty() && !self.authorization {
            return Some(Values::default());
        }
        let mut all = Vec::new();
        for name in &self.names {
            let values = headers.get_all(name);
            all.extend(count(values.iter().count()));
            for value in values {
                all.extend(count(value.len()));
                all.extend_from_slice(value.as_bytes());
            }
            if all.len() > LISTED_BYTES_MAX {
                return None;
            }
        }
        if self.authorization && headers.contains_key(header::AUTHORIZATION) {
            // Whose it is, and not what would let somebody else in.
            let mut hash = Sha256::new();
            for value in headers.get_all(header::AUTHORIZATION) {
                hash.update(count(value.len()));
                hash.update(value.as_bytes());
            }
            all.extend_from_slice(&hash.finalize());
        }
        Some(Values(all.into()))
    }

    /// Takes all fields out that the function doesn't see.
    pub fn withhold(&self, headers: &mut HeaderMap) {
        let mut seen = HeaderMap::with_capacity(self.names.len() + 4);
        let authorization = self.authorization.then_some(&header::AUTHORIZATION);
        let names = self.names.iter().chain(authorization);
        for name in names.chain([&header::HOST]) {
            for value in headers.get_all(name) {
                seen.append(name.clone(), value.clone());
            }
        }
        *headers = seen;
    }
}

fn count(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use everwarm_manifest::cache::FieldName;
    use hashbrown::DefaultHashBuilder;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn listed(names: &[&str], authorization: bool) -> Listed {
        Listed::of(&Cache {
            vary: names
                .iter()
                .map(|name| FieldName::new(name).expect("a name"))
                .collect(),
            authorization,
            ..Cache::default()
        })
    }

    fn headers(fields: &[(String, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn callers_have_answers_of_their_own() {
        let listed = listed(&[], true);
        let of = |value: &str| {
            let headers = headers(&[("authorization".into(), value.into())]);
            listed.values(&headers).expect("it is short")
        };
        assert_eq!(of("Bearer a"), of("Bearer a"));
        assert_ne!(of("Bearer a"), of("Bearer b"));
        assert_ne!(Some(of("")), listed.values(&HeaderMap::new()));
        let credential = of("Bearer very-secret");
        assert!(!credential.0.windows(6).any(|part| part == b"secret"));
    }

    #[test]
    fn more_than_answers_are_kept_by_is_told() {
        let listed = listed(&["x-a"], false);
        let long = headers(&[("x-a".into(), "v".repeat(LISTED_BYTES_MAX))]);
        assert_eq!(listed.values(&long), None);
    }

    fn url(app: Id, (https, host, target): &(bool, String, String)) -> UrlRef<'_> {
        UrlRef {
            app,
            https: *https,
            host,
            target,
        }
    }

    proptest! {
        #[test]
        fn what_a_function_sees_differs_only_where_the_key_does(
            one in prop::collection::vec(("(x-a|x-b|x-c|cookie|x-forwarded-host)", "[a-c,; ]{0,3}"), 0..5),
            two in prop::collection::vec(("(x-a|x-b|x-c|cookie|x-forwarded-host)", "[a-c,; ]{0,3}"), 0..5),
        ) {
            let listed = listed(&["x-a", "x-b"], false);
            let (mut one, mut two) = (headers(&one), headers(&two));
            let same_key = listed.values(&one) == listed.values(&two);
            listed.withhold(&mut one);
            listed.withhold(&mut two);
            prop_assert_eq!(one == two, same_key);
        }

        #[test]
        fn borrowed_urls_find_their_own_and_no_others(
            one in (any::<bool>(), "[ab]{0,2}", "/[ab]{0,2}"),
            two in (any::<bool>(), "[ab]{0,2}", "/[ab]{0,2}"),
        ) {
            let app = Id::of(&["a"]);
            let key = url(app, &two).to_owned();
            prop_assert_eq!(url(app, &one).equivalent(&key), one == two);
            let hash = DefaultHashBuilder::default();
            prop_assert_eq!(hash.hash_one(url(app, &two)), hash.hash_one(&key));
            let other = UrlRef { app: Id::of(&["", "a"]), ..url(app, &two) };
            prop_assert!(!other.equivalent(&key));
        }
    }
}
