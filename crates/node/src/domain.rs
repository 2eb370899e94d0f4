//! Under which hosts apps answer. Pure.
//!
//! On a node with a base domain, an app's own host is `<app>.<base>`, and each version's is
//! `0<digits>--<app>.<base>`: no app can have that name, since names begin with a letter. All hosts under the base
//! are the node's to give.

use std::collections::BTreeSet;

use everwarm_manifest::{App, AppName, HostPattern, Hostname, RoutePattern};
use everwarm_store::catalog::{SHORT_DIGITS, VersionId};

/// The longest label of a host (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Between a version's digits and its app in the label of a preview.
const PREVIEW_SEPARATOR: &str = "--";
/// What begins the label of a preview.
const PREVIEW_MARK: char = '0';

/// Under which hosts apps answer.
#[derive(Debug, Clone, Default)]
pub struct Domain {
    base: Option<Base>,
}

/// Where the outside reaches a node.
#[derive(Debug, Clone)]
struct Base {
    host: Hostname,
    is_tls: bool,
    port: u16,
}

impl Base {
    /// What an address begins with and, behind the host, what it has of a port.
    fn around_host(&self) -> (&'static str, String) {
        let (scheme, own_port) = if self.is_tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let port = if self.port == own_port {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        (scheme, port)
    }
}

/// A version that a host asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreviewName {
    pub(crate) app: AppName,
    /// The first digits of the version.
    pub(crate) digits: String,
}

impl Domain {
    /// Apps answer at their manifests' hosts, and those without one at every host: a node with one app.
    pub fn any() -> Self {
        Self::default()
    }

    /// Apps answer below `host`, which the outside reaches by TLS or not, and at `port`; 0 stands for the one that
    /// the node gets.
    pub fn below(host: Hostname, is_tls: bool, port: u16) -> Self {
        Self {
            base: Some(Base { host, is_tls, port }),
        }
    }

    /// The port that the node got, if it got one, where it is the one that counts.
    pub(crate) fn bound_to(mut self, port: Option<u16>) -> Self {
        if let (Some(base), Some(port)) = (&mut self.base, port)
            && base.port == 0
        {
            base.port = port;
        }
        self
    }

    /// The base, if there is one.
    pub fn base(&self) -> Option<&str> {
        self.base.as_ref().map(|base| base.host.as_str())
    }

    /// The host of an app's own.
    fn own(&self, app: &AppName) -> Option<HostPattern> {
        let base = self.base.as_ref()?;
        let host = Hostname::parse(&format!("{app}.{}", base.host)).ok()?;
        Some(HostPattern::Exact(host))
    }

    /// A route of a manifest as the node serves it: without a host, it is at the app's own.
    pub(crate) fn route(&self, app: &AppName, route: &RoutePattern) -> RoutePattern {
        let mut route = route.clone();
        if route.host == HostPattern::Any
            && let Some(own) = self.own(app)
        {
            route.host = own;
        }
        route
    }

    /// The hosts that an app claims with its manifest: its own, and those that routes name.
    ///
    /// # Errors
    /// The first host under the base that isn't the app's own: it can't be had.
    pub(crate) fn claims(&self, app: &App) -> Result<BTreeSet<HostPattern>, HostPattern> {
        let own = self.own(&app.name);
        let mut claims: BTreeSet<HostPattern> = own.iter().cloned().collect();
        for route in app.routes() {
            let host = &route.host;
            if *host == HostPattern::Any || Some(host) == own.as_ref() {
                continue;
            }
            if self.is_under_base(host) {
                return Err(host.clone());
            }
            claims.insert(host.clone());
        }
        Ok(claims)
    }

    fn is_under_base(&self, host: &HostPattern) -> bool {
        let Some(base) = &self.base else { return false };
        let base = base.host.as_str();
        let (HostPattern::Exact(name) | HostPattern::Suffix(name)) = host else {
            return false;
        };
        let name = name.as_str();
        // A wildcard above the base would take hosts below it too.
        let covers = matches!(host, HostPattern::Suffix(_))
            && format!(".{base}").ends_with(&format!(".{name}"));
        name == base || name.ends_with(&format!(".{base}")) || covers
    }

    /// Where an app answers: its own host, and the hosts that it claims.
    pub(crate) fn urls(&self, app: &App) -> Vec<String> {
        let Some(base) = &self.base else {
            return Vec::new();
        };
        let claims = self.claims(app).unwrap_or_default();
        let own = self.own(&app.name);
        let others = claims.iter().filter(|host| Some(*host) != own.as_ref());
        let (scheme, port) = base.around_host();
        own.iter()
            .chain(others)
            .map(|host| format!("{scheme}://{host}{port}/"))
            .collect()
    }

    /// The host of a version's own.
    pub(crate) fn preview_host(&self, app: &AppName, version: VersionId) -> Option<Hostname> {
        let base = self.base.as_ref()?;
        let label = format!("{PREVIEW_MARK}{}{PREVIEW_SEPARATOR}{app}", version.short());
        // The longest app names leave no room for the version.
        if label.len() > LABEL_BYTES_MAX {
            return None;
        }
        Hostname::parse(&format!("{label}.{}", base.host)).ok()
    }

    /// Where a version answers, live or not.
    pub(crate) fn preview_url(&self, app: &AppName, version: VersionId) -> Option<String> {
        let base = self.base.as_ref()?;
        let host = self.preview_host(app, version)?;
        let (scheme, port) = base.around_host();
        Some(format!("{scheme}://{host}{port}/"))
    }

    /// The version that a request's host asks for, if it has the form of a preview's.
    pub(crate) fn preview(&self, host: &str) -> Option<PreviewName> {
        let base = self.base.as_ref()?;
        let host = host.rsplit_once(':').map_or(host, |(host, _port)| host);
        let label = host.strip_suffix(base.host.as_str())?.strip_suffix('.')?;
        let (digits, app) = label
            .strip_prefix(PREVIEW_MARK)?
            .split_once(PREVIEW_SEPARATOR)?;
        let are_digits = digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (digits.len() == SHORT_DIGITS && are_digits).then_some(())?;
        Some(PreviewName {
            app: AppName::new(app).ok()?,
            digits: digits.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> Domain {
        Domain::below(Hostname::parse("apps.example.com").unwrap(), true, 443)
    }

    fn app(routes: &[&str]) -> App {
        let text =
            format!("name = \"shop\"\n[[function]]\ncomponent = \"f.wasm\"\nroutes = {routes:?}\n");
        App::parse(&text, "everwarm.toml").unwrap()
    }

    fn claims(routes: &[&str]) -> Result<Vec<String>, String> {
        let claims = domain()
            .claims(&app(routes))
            .map_err(|host| host.to_string())?;
        Ok(claims.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn app_claims_its_own_host_and_those_that_routes_name() {
        assert_eq!(claims(&["/*"]).unwrap(), ["shop.apps.example.com"]);
        let named = claims(&["/*", "shop.example.org/*", "*.shop.example.org/*"]).unwrap();
        assert_eq!(named.len(), 3);
        assert_eq!(
            claims(&["shop.apps.example.com/api"]).unwrap(),
            ["shop.apps.example.com"]
        );
    }

    #[test]
    fn hosts_under_the_base_are_not_to_be_had() {
        for host in [
            "other.apps.example.com",
            "apps.example.com",
            "*.apps.example.com",
            "*.example.com",
            "*.com",
            "0aaaaaaaaaaaa--shop.apps.example.com",
        ] {
            assert_eq!(claims(&[&format!("{host}/*")]), Err(host.to_owned()));
        }
        for host in ["example.com", "xapps.example.com", "*.other.example.com"] {
            assert!(claims(&[&format!("{host}/*")]).is_ok(), "{host}");
        }
    }

    #[test]
    fn route_without_a_host_is_at_the_apps_own() {
        let app = app(&["/api/*"]);
        let route = domain().route(&app.name, &app.functions[0].routes[0]);
        assert_eq!(route.to_string(), "shop.apps.example.com/api/*");
        let any = Domain::any().route(&app.name, &app.functions[0].routes[0]);
        assert_eq!(any.to_string(), "/api/*");
    }

    #[test]
    fn host_of_a_preview_leads_back_to_its_version() {
        let (domain, shop) = (domain(), AppName::new("shop").unwrap());
        let version = VersionId::from_bytes([0xab; 32]);
        let host = domain.preview_host(&shop, version).unwrap();
        assert_eq!(host.as_str(), "0abababababab--shop.apps.example.com");
        for asked in [host.as_str().to_owned(), format!("{host}:8443")] {
            let preview = domain.preview(&asked).unwrap();
            assert_eq!(
                (preview.app.as_str(), &*preview.digits),
                ("shop", &*version.short())
            );
        }
        for other in [
            "shop.apps.example.com",
            "0abababababa--shop.apps.example.com",
            "0ABABABABABAB--shop.apps.example.com",
            "0abababababab--shop.example.com",
            "0abababababab--.apps.example.com",
            "apps.example.com",
            "",
        ] {
            assert_eq!(domain.preview(other), None, "{other}");
        }
    }

    #[test]
    fn urls_have_the_port_that_the_scheme_does_not_imply() {
        let app = app(&["/*"]);
        assert_eq!(domain().urls(&app), ["https://shop.apps.example.com/"]);
        let local = Domain::below(Hostname::parse("localhost").unwrap(), false, 3000);
        assert_eq!(local.urls(&app), ["http://shop.localhost:3000/"]);
        assert!(Domain::any().urls(&app).is_empty());
    }
}
