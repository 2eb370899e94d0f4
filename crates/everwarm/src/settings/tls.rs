//! What `serve` is told about TLS, and that it fits together.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::parse_listen;
use super::serve::File;
use crate::args::TlsArgs;
use crate::exit::{Exit, Failure};

/// The directory of Let's Encrypt.
const ACME_DIRECTORY_DEFAULT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// ACME was asked for in part.
const ACME_INCOMPLETE: &str = "EW4032";
/// The admin API would be in the clear.
const ADMIN_IN_THE_CLEAR: &str = "EW4035";

/// What is in force.
#[expect(clippy::struct_field_names, reason = "the names are the flags'")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Tls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_certificates: Option<PathBuf>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) https_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_key: Option<PathBuf>,
    #[serde(flatten)]
    pub(crate) acme: Option<Acme>,
}

/// How certificates are had from an authority.
#[expect(clippy::struct_field_names, reason = "the names are the flags'")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Acme {
    /// Always true: without it there is no ACME.
    acme_agree_to_terms: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acme_contact: Option<String>,
    pub(crate) acme_directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acme_root: Option<PathBuf>,
}

impl Tls {
    /// Flags and environment before the file.
    pub(super) fn resolve(args: &TlsArgs, file: &File) -> Result<Self, Failure> {
        let args = args.clone();
        let tls_listen = match (args.tls_listen, &file.tls_listen) {
            (None, Some(text)) => {
                Some(parse_listen(text).map_err(|reason| wrong("tls-listen", &reason))?)
            }
            (flag, _) => flag,
        };
        let tls = Self {
            tls_listen,
            tls_certificates: args.tls_certificates.or(file.tls_certificates.clone()),
            https_only: args.https_only.or(file.https_only).unwrap_or_default(),
            admin_certificate: args.admin_certificate.or(file.admin_certificate.clone()),
            admin_key: args.admin_key.or(file.admin_key.clone()),
            acme: Acme::resolve(
                args.acme_agree_to_terms.or(file.acme_agree_to_terms),
                args.acme_contact.or(file.acme_contact.clone()),
                args.acme_directory.or(file.acme_directory.clone()),
                args.acme_root.or(file.acme_root.clone()),
            )?,
        };
        tls.check()?;
        Ok(tls)
    }

    fn check(&self) -> Result<(), Failure> {
        let has_certificates = self.tls_certificates.is_some() || self.acme.is_some();
        if self.tls_listen.is_none() {
            let needs_it = [
                (self.tls_certificates.is_some(), "tls-certificates"),
                (self.https_only, "https-only"),
                (self.acme.is_some(), "acme-agree-to-terms"),
            ];
            if let Some((_, name)) = needs_it.iter().find(|(is_set, _)| *is_set) {
                let reason = "it is about a listener that isn't there: set `tls-listen` as well";
                return Err(wrong(name, reason));
            }
        } else if !has_certificates {
            return Err(wrong(
                "tls-listen",
                "there is no certificate for it: set `tls-certificates`, or `acme-agree-to-terms` to get them by ACME",
            ));
        }
        if self.admin_certificate.is_some() != self.admin_key.is_some() {
            return Err(wrong(
                "admin-certificate",
                "`admin-certificate` and `admin-key` go together: set both",
            ));
        }
        Ok(())
    }

    /// Refuses to send tokens over a network in the clear.
    pub(crate) fn check_admin(&self, admin: SocketAddr) -> Result<(), Failure> {
        if admin.ip().is_loopback() || self.admin_certificate.is_some() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Usage,
            ADMIN_IN_THE_CLEAR,
            format!(
                "the admin API at {admin} would send tokens in the clear: give it a certificate with \
                 `--admin-certificate` and `--admin-key`, or serve it on a loopback address"
            ),
        ))
    }
}

impl Acme {
    fn resolve(
        agree_to_terms: Option<bool>,
        contact: Option<String>,
        directory: Option<String>,
        root: Option<PathBuf>,
    ) -> Result<Option<Self>, Failure> {
        let refused = |message: String| Failure::new(Exit::Usage, ACME_INCOMPLETE, message);
        let is_asked_for = contact.is_some() || directory.is_some() || root.is_some();
        if agree_to_terms != Some(true) {
            if !is_asked_for {
                return Ok(None);
            }
            return Err(refused(
                "certificates by ACME need your word that you agree to the terms of the certificate authority: \
                 read them, and set `acme-agree-to-terms`"
                    .to_owned(),
            ));
        }
        let directory = directory.unwrap_or_else(|| ACME_DIRECTORY_DEFAULT.to_owned());
        if !directory.starts_with("https://") {
            return Err(refused(format!(
                "`acme-directory`: `{directory}` is no https address, as that of an ACME server is"
            )));
        }
        if let Some(contact) = contact.as_deref().filter(|contact| !is_email(contact)) {
            return Err(refused(format!(
                "`acme-contact`: `{contact}` is no email address"
            )));
        }
        Ok(Some(Self {
            acme_agree_to_terms: true,
            acme_contact: contact,
            acme_directory: directory,
            acme_root: root,
        }))
    }
}

fn is_email(text: &str) -> bool {
    let has_parts = text
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
    has_parts && !text.contains(|c: char| c.is_whitespace() || c.is_control() || ",?:".contains(c))
}

fn wrong(name: &str, reason: &str) -> Failure {
    Failure::uncoded(Exit::Usage, format!("`{name}`: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str) -> Result<Tls, Failure> {
        Tls::resolve(&TlsArgs::default(), &toml::from_str(file).unwrap())
    }

    fn refused(file: &str) -> (Option<String>, String) {
        let failure = resolve(file).unwrap_err();
        (failure.code.map(Into::into), failure.message)
    }

    #[test]
    fn nothing_said_is_no_tls() {
        assert_eq!(resolve("").unwrap(), Tls::default());
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = toml::from_str("tls-listen = \"8443\"\ntls-certificates = \"a\"\n").unwrap();
        let args = TlsArgs {
            tls_certificates: Some("b".into()),
            https_only: Some(true),
            ..TlsArgs::default()
        };
        let tls = Tls::resolve(&args, &file).unwrap();
        assert_eq!(tls.tls_listen.unwrap().port(), 8443);
        assert_eq!(tls.tls_certificates, Some("b".into()));
        assert!(tls.https_only);
    }

    #[test]
    fn what_lacks_its_other_half_is_refused_by_name() {
        for (file, name) in [
            ("tls-listen = \"8443\"", "`tls-certificates`"),
            ("tls-certificates = \"x\"", "`tls-listen`"),
            ("https-only = true", "`https-only`"),
            ("acme-agree-to-terms = true", "`tls-listen`"),
            ("admin-key = \"x\"", "`admin-certificate`"),
            ("tls-listen = \"nowhere\"", "`tls-listen`"),
        ] {
            let (_, message) = refused(file);
            assert!(message.contains(name), "{file}: {message}");
        }
    }

    #[test]
    fn acme_needs_consent_and_usable_addresses() {
        for file in [
            "acme-contact = \"a@example.com\"",
            "acme-agree-to-terms = false\nacme-directory = \"https://x/\"",
            "acme-agree-to-terms = true\nacme-directory = \"http://x/\"",
            "acme-agree-to-terms = true\nacme-contact = \"a\"",
            "acme-agree-to-terms = true\nacme-contact = \"a@example.com?x\"",
        ] {
            let (code, message) = refused(&format!("tls-listen = \"8443\"\n{file}"));
            assert_eq!(code.as_deref(), Some("EW4032"), "{file}: {message}");
        }
        let tls = resolve("tls-listen = \"8443\"\nacme-agree-to-terms = true").unwrap();
        assert_eq!(tls.acme.unwrap().acme_directory, ACME_DIRECTORY_DEFAULT);
    }

    #[test]
    fn admin_api_is_on_loopback_or_has_a_certificate() {
        let open = "0.0.0.0:3001".parse().unwrap();
        let failure = Tls::default().check_admin(open).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("EW4035"));
        assert!(failure.message.contains("--admin-certificate"));
        for loopback in ["127.0.0.1:1", "[::1]:1"] {
            assert!(
                Tls::default()
                    .check_admin(loopback.parse().unwrap())
                    .is_ok()
            );
        }
        let tls = resolve("admin-certificate = \"a\"\nadmin-key = \"b\"").unwrap();
        assert!(tls.check_admin(open).is_ok());
    }
}
