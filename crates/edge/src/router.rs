//! Which function version a request is for: an immutable table from host and path to a value. Knows route
//! patterns and their order; doesn't know what the values are, nor how a new table replaces an old one.

mod hosts;
mod paths;

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use everwarm_manifest::route::{RequestHost, RequestPath};
use everwarm_manifest::{HostPattern, RoutePattern};
use hashbrown::HashMap;

use self::hosts::Hosts;
use self::paths::{Occupied, PathTree, RouteId};

/// Routes of many apps, ready to be looked up. It never changes: a deployment makes a new one, which shares with it the
/// hosts where nothing changed ([`RouteTable::changed`]).
///
/// Of all patterns that match a request the most specific wins, as [`RoutePattern::compare_specificity`]
/// orders them. A look-up allocates nothing unless the path is in another spelling than its normal form
/// (an unreserved character is percent-encoded, for example).
#[derive(Debug)]
pub struct RouteTable<T> {
    exact: Hosts<HostRoutes<T>>,
    suffixes: Hosts<HostRoutes<T>>,
    /// No key of `suffixes` is longer, nor was one of the tables before: what is longer needn't be looked for.
    suffix_bytes_max: usize,
    any_host: Option<Arc<HostRoutes<T>>>,
    len: usize,
}

/// What is routed at one host pattern.
#[derive(Debug)]
struct HostRoutes<T> {
    routes: Vec<(RoutePattern, T)>,
    tree: PathTree,
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

impl<T> HostRoutes<T> {
    fn build(
        routes: impl IntoIterator<Item = (RoutePattern, T)>,
    ) -> Result<Self, RouteConflict<T>> {
        let mut built = Self {
            routes: Vec::new(),
            tree: PathTree::default(),
        };
        for route in routes {
            let id = RouteId::of(built.routes.len());
            if let Err(Occupied { by }) = built.tree.insert(&route.0.path, id) {
                return Err(RouteConflict {
                    first: built.routes.swap_remove(by.index()),
                    second: route,
                });
            }
            built.routes.push(route);
        }
        Ok(built)
    }

    fn find(&self, path: &str) -> Option<&(RoutePattern, T)> {
        self.routes.get(self.tree.find(path)?.index())
    }
}

impl<T> RouteTable<T> {
    /// A table without routes.
    pub fn empty() -> Self {
        Self {
            exact: Hosts::default(),
            suffixes: Hosts::default(),
            suffix_bytes_max: 0,
            any_host: None,
            len: 0,
        }
    }

    /// Builds the table of all `routes`, in time proportional to their length.
    ///
    /// # Errors
    /// [`RouteConflict`] names two routes that match the same requests.
    pub fn build(
        routes: impl IntoIterator<Item = (RoutePattern, T)>,
    ) -> Result<Self, RouteConflict<T>> {
        let by_host = grouped(
            routes
                .into_iter()
                .map(|route| (route.0.host.clone(), route)),
        );
        let mut table = Self {
            exact: Hosts::with_capacity(by_host.len()),
            ..Self::empty()
        };
        for (host, routes) in by_host {
            table.set(&host, Some(HostRoutes::build(routes)?));
        }
        Ok(table)
    }

    /// Puts the routes of a host in the place of those that are there.
    fn set(&mut self, host: &HostPattern, routes: Option<HostRoutes<T>>) {
        let (more, less) = (
            routes.as_ref().map_or(0, |routes| routes.routes.len()),
            self.at(host).map_or(0, |routes| routes.routes.len()),
        );
        self.len = self.len + more - less;
        let routes = routes.map(Arc::new);
        match host {
            HostPattern::Any => self.any_host = routes,
            HostPattern::Exact(host) => self.exact.set(host, routes),
            HostPattern::Suffix(host) => {
                self.suffix_bytes_max = self.suffix_bytes_max.max(host.as_str().len());
                self.suffixes.set(host, routes);
            }
        }
    }

    fn at(&self, host: &HostPattern) -> Option<&Arc<HostRoutes<T>>> {
        match host {
            HostPattern::Any => self.any_host.as_ref(),
            HostPattern::Exact(host) => self.exact.get(host.as_str()),
            HostPattern::Suffix(host) => self.suffixes.get(host.as_str()),
        }
    }

    /// The most specific route of a request. `host` is the value of `Host` or `:authority`, with or without
    /// port; `path` starts with `/` and has no query. `None` when no route matches.
    pub fn lookup(&self, host: Option<&str>, path: &str) -> Option<Match<'_, T>> {
        let path = RequestPath::new(path)?;
        let host = host.and_then(RequestHost::new);
        let (pattern, value) = self.find(host.as_ref().map(RequestHost::as_str), path.as_str())?;
        Some(Match { pattern, value })
    }

    fn find(&self, host: Option<&str>, path: &str) -> Option<&(RoutePattern, T)> {
        if let Some(host) = host {
            let exact = self.exact.get(host).and_then(|routes| routes.find(path));
            if let Some(route) = exact.or_else(|| self.find_by_suffix(host, path)) {
                return Some(route);
            }
        }
        self.any_host.as_ref()?.find(path)
    }

    /// Asks for each ending of `host` after a dot, the longest first.
    fn find_by_suffix(&self, host: &str, path: &str) -> Option<&(RoutePattern, T)> {
        if self.suffixes.is_empty() {
            return None;
        }
        host.match_indices('.')
            // The wildcard stands for at least one label that isn't empty.
            .filter(|(dot, _)| *dot > 0)
            .map(|(dot, _)| &host[dot + 1..])
            .filter(|suffix| suffix.len() <= self.suffix_bytes_max)
            .filter_map(|suffix| self.suffixes.get(suffix))
            .find_map(|routes| routes.find(path))
    }

    /// All routes, in no order but that those of one host are together as they were given.
    pub fn routes(&self) -> impl Iterator<Item = &(RoutePattern, T)> {
        let hosts = self.exact.values().chain(self.suffixes.values());
        hosts.chain(&self.any_host).flat_map(|host| &host.routes)
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T: Clone> RouteTable<T> {
    /// This table without the routes `gone` and with the routes `new`, in time proportional to the routes of the hosts
    /// that they have: all other hosts are shared with this table.
    ///
    /// # Errors
    /// [`RouteConflict`] names two routes that match the same requests.
    pub fn changed(
        &self,
        gone: impl IntoIterator<Item = RoutePattern>,
        new: impl IntoIterator<Item = (RoutePattern, T)>,
    ) -> Result<Self, RouteConflict<T>> {
        let gone = grouped(gone.into_iter().map(|route| (route.host.clone(), route)));
        let mut new = grouped(new.into_iter().map(|route| (route.0.host.clone(), route)));
        let hosts: BTreeSet<HostPattern> = gone.keys().chain(new.keys()).cloned().collect();
        let mut table = Self {
            exact: self.exact.clone(),
            suffixes: self.suffixes.clone(),
            any_host: self.any_host.clone(),
            ..*self
        };
        for host in hosts {
            let gone: HashSet<&RoutePattern> = gone.get(&host).into_iter().flatten().collect();
            let there = self.at(&host).map_or(&[][..], |host| &host.routes);
            let stay = there.iter().filter(|(route, _)| !gone.contains(route));
            let new = new.remove(&host).unwrap_or_default();
            let routes = HostRoutes::build(stay.cloned().chain(new))?;
            let routes = Some(routes).filter(|routes| !routes.routes.is_empty());
            table.set(&host, routes);
        }
        Ok(table)
    }
}

fn grouped<K: Eq + Hash, V>(pairs: impl IntoIterator<Item = (K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, value) in pairs {
        groups.entry(key).or_default().push(value);
    }
    groups
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self::empty()
    }
}
