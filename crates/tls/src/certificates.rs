//! The certificates in force, and which of them a client gets: those from files before those from ACME, and the
//! default last.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::names::NameTable;

/// See the module's documentation. Shared by whoever presents certificates and whoever brings new ones.
#[derive(Debug, Default)]
pub struct Certificates {
    files: ArcSwap<Set>,
    acme: ArcSwap<Set>,
}

/// The certificates of one source.
#[derive(Debug, Default)]
pub struct Set {
    by_name: NameTable<Arc<Certificate>>,
    default: Option<Arc<Certificate>>,
    all: Vec<(String, Arc<Certificate>)>,
}

impl Set {
    /// Of two certificates for the same name, the one that is good for longer gets it. `default` is for clients that
    /// ask for no name, or for one that nothing else is for.
    pub fn new(
        mut all: Vec<(String, Arc<Certificate>)>,
        default: Option<Arc<Certificate>>,
    ) -> Self {
        all.sort_by_key(|(_, certificate)| std::cmp::Reverse(certificate.not_after()));
        let mut by_name = NameTable::default();
        for (_, certificate) in &all {
            for name in certificate.names() {
                by_name.insert(name, Arc::clone(certificate));
            }
        }
        Self {
            by_name,
            default,
            all,
        }
    }

    #[cfg(test)]
    pub(crate) fn has_default(&self) -> bool {
        self.default.is_some()
    }
}

/// When a certificate expires, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// What the certificate is called: the pair's name, or the host.
    pub certificate: String,
    /// Where it came from: `file` or `acme`.
    pub source: &'static str,
    /// When it expires.
    pub not_after: SystemTime,
}

impl Certificates {
    /// Puts these in force, in place of those that came from files before.
    pub fn set_files(&self, set: Set) {
        self.files.store(Arc::new(set));
    }

    /// Puts these in force, in place of those that came from ACME before.
    pub fn set_acme(&self, set: Set) {
        self.acme.store(Arc::new(set));
    }

    /// Whether a certificate from files is for this name itself. The default doesn't count.
    pub fn is_in_files(&self, name: &str) -> bool {
        self.files.load().by_name.get(name).is_some()
    }

    /// When each expires.
    pub fn expiries(&self) -> Vec<Expiry> {
        let (files, acme) = (self.files.load(), self.acme.load());
        let of = |set: &Set, source| {
            let all = set.all.iter().map(move |(certificate, found)| Expiry {
                certificate: certificate.clone(),
                source,
                not_after: found.not_after(),
            });
            all.collect::<Vec<_>>()
        };
        let mut expiries = of(&files, "file");
        expiries.extend(of(&acme, "acme"));
        expiries
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let (files, acme) = (self.files.load(), self.acme.load());
        let named = name.and_then(|name| {
            let found = files.by_name.get(name);
            found.or_else(|| acme.by_name.get(name))
        });
        let found = named.or(files.default.as_ref())?;
        Some(Arc::clone(&found.key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::pem;

    fn certificate(names: &[&str]) -> Arc<Certificate> {
        let (chain, key) = pem(names);
        Arc::new(Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap())
    }

    fn is_given(certificates: &Certificates, name: Option<&str>, wanted: &Certificate) -> bool {
        let found = certificates.find(name);
        found.is_some_and(|found| Arc::ptr_eq(&found, &wanted.key))
    }

    #[test]
    fn files_come_before_acme_and_the_default_is_last() {
        let certificates = Certificates::default();
        let (file, acme, default) = (
            certificate(&["a.example.com"]),
            certificate(&["a.example.com", "b.example.com"]),
            certificate(&["c.example.com"]),
        );
        certificates.set_acme(Set::new(vec![("x".to_owned(), Arc::clone(&acme))], None));
        assert!(is_given(&certificates, Some("a.example.com"), &acme));
        assert!(certificates.find(None).is_none());
        assert!(!certificates.is_in_files("a.example.com"));

        let all = vec![("y".to_owned(), Arc::clone(&file))];
        certificates.set_files(Set::new(all, Some(Arc::clone(&default))));
        assert!(is_given(&certificates, Some("A.example.com"), &file));
        assert!(is_given(&certificates, Some("b.example.com"), &acme));
        assert!(is_given(&certificates, Some("z.example.com"), &default));
        assert!(is_given(&certificates, None, &default));
        assert!(certificates.is_in_files("a.example.com"));
        assert!(!certificates.is_in_files("b.example.com"));
        assert_eq!(certificates.expiries().len(), 2);
    }
}
