//! Which function version a request is for: an immutable table from host and path to a value. Knows route
//! patterns and their order; doesn't know what the values are, nor how a new table replaces an old one.

mod paths;

use everwarm_manifest::route::{RequestHost, RequestPath};
use everwarm_manifest::{HostPattern, Hostname, RoutePattern};
use hashbrown::HashMap;

use self::paths::{Occupied, PathTrees, RouteId, TreeId};

/// Routes of many apps, ready to be looked up. It never changes: a deployment builds a new one.
///
/// Of all patterns that match a request the most specific wins, as [`RoutePattern::compare_specificity`]
/// orders them. A look-up allocates nothing unless the path is in another spelling than its normal form
/// (an unreserved character is percent-encoded, for example).
#[derive(Debug)]
pub struct RouteTable<T> {
    routes: Vec<(RoutePattern, T)>,
    trees: PathTrees,
    exact: HashMap<Hostname, TreeId>,
    suffixes: HashMap<Hostname, TreeId>,
    /// The longest key of `suffixes`: what is longer needn't be looked for.
    suffix_bytes_max: usize,
    any_host: TreeId,
}

/// What a request was found to be for.
#[derive(Debug)]
pub struct Match<'t, T> {
    /// The pattern that won.
    pub pattern: &'t RoutePattern,
    /// What the table holds for it.
    pub value: &'t T,
}

/// Two routes match the same requests, so neither can win.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the routes `{}` and `{}` match the same requests", .first.0, .second.0)]
pub struct RouteConflict<T> {
    /// The one that came first, and its value.
    pub first: (RoutePattern, T),
    /// The one that came later, and its value.
    pub second: (RoutePattern, T),
}

impl<T> RouteTable<T> {
    /// A table without routes.
    pub fn empty() -> Self {
        let mut trees = PathTrees::default();
        Self {
            any_host: trees.plant(),
            trees,
            routes: Vec::new(),
            exact: HashMap::new(),
            suffixes: HashMap::new(),
            suffix_bytes_max: 0,
        }
    }

    /// Builds the table of all `routes`, in time proportional to their length.
    ///
    /// # Errors
    /// [`RouteConflict`] names the first two routes that match the same requests.
    pub fn build(
        routes: impl IntoIterator<Item = (RoutePattern, T)>,
    ) -> Result<Self, RouteConflict<T>> {
        let mut table = Self::empty();
        let routes = routes.into_iter();
        table.routes.reserve(routes.size_hint().0);
        for route in routes {
            if let Err(Occupied { by }) = table.insert(&route.0) {
                return Err(RouteConflict {
                    first: table.routes.swap_remove(by.index()),
                    second: route,
                });
            }
            table.routes.push(route);
        }
        Ok(table)
    }

    /// Enters the pattern of the route that is pushed next.
    fn insert(&mut self, pattern: &RoutePattern) -> Result<(), Occupied> {
        let tree = match &pattern.host {
            HostPattern::Any => self.any_host,
            HostPattern::Exact(host) => *self
                .exact
                .entry(host.clone())
                .or_insert_with(|| self.trees.plant()),
            HostPattern::Suffix(host) => {
                self.suffix_bytes_max = self.suffix_bytes_max.max(host.as_str().len());
                *self
                    .suffixes
                    .entry(host.clone())
                    .or_insert_with(|| self.trees.plant())
            }
        };
        self.trees
            .insert(tree, &pattern.path, RouteId::of(self.routes.len()))
    }

    /// The most specific route of a request. `host` is the value of `Host` or `:authority`, with or without
    /// port; `path` starts with `/` and has no query. `None` when no route matches.
    pub fn lookup(&self, host: Option<&str>, path: &str) -> Option<Match<'_, T>> {
        let path = RequestPath::new(path)?;
        let host = host.and_then(RequestHost::new);
        let route = self.find(host.as_ref().map(RequestHost::as_str), path.as_str())?;
        self.routes
            .get(route.index())
            .map(|(pattern, value)| Match { pattern, value })
    }

    fn find(&self, host: Option<&str>, path: &str) -> Option<RouteId> {
        if let Some(host) = host {
            let exact = self
                .exact
                .get(host)
                .and_then(|tree| self.trees.find(*tree, path));
            if let Some(route) = exact.or_else(|| self.find_by_suffix(host, path)) {
                return Some(route);
            }
        }
        self.trees.find(self.any_host, path)
    }

    /// Asks for each ending of `host` after a dot, the longest first.
    fn find_by_suffix(&self, host: &str, path: &str) -> Option<RouteId> {
        if self.suffixes.is_empty() {
            return None;
        }
        host.match_indices('.')
            // The wildcard stands for at least one label that isn't empty.
            .filter(|(dot, _)| *dot > 0)
            .map(|(dot, _)| &host[dot + 1..])
            .filter(|suffix| suffix.len() <= self.suffix_bytes_max)
            .filter_map(|suffix| self.suffixes.get(suffix))
            .find_map(|tree| self.trees.find(*tree, path))
    }

    /// All routes in the order they were given.
    pub fn routes(&self) -> &[(RoutePattern, T)] {
        &self.routes
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self::empty()
    }
}
