//! What can be typed about TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueHint;

use crate::settings;

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Where functions are served over TLS, besides `--listen` [default: nowhere]
    #[arg(long, value_name = "ADDRESS", env = "EVERWARM_TLS_LISTEN", value_parser = settings::parse_listen)]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// A folder of certificates, NAME.crt with NAME.key, read again when they change
    #[arg(long, value_name = "FOLDER", env = "EVERWARM_TLS_CERTIFICATES", value_hint = ValueHint::DirPath)]
    pub(crate) tls_certificates: Option<PathBuf>,
    /// Answer 308 to HTTPS at `--listen`
    #[arg(long, value_name = "BOOL", env = "EVERWARM_HTTPS_ONLY", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) https_only: Option<bool>,
    /// The certificate of the admin API, which may be on any address then
    #[arg(long, value_name = "FILE", env = "EVERWARM_ADMIN_CERTIFICATE", value_hint = ValueHint::FilePath)]
    pub(crate) admin_certificate: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", env = "EVERWARM_ADMIN_KEY", value_hint = ValueHint::FilePath)]
    pub(crate) admin_key: Option<PathBuf>,
    /// Get certificates by ACME; by this you agree to the terms of the certificate authority
    #[arg(long, value_name = "BOOL", env = "EVERWARM_ACME_AGREE_TO_TERMS", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) acme_agree_to_terms: Option<bool>,
    /// An address that the certificate authority may write to, as in ops@example.com
    #[arg(long, value_name = "EMAIL", env = "EVERWARM_ACME_CONTACT")]
    pub(crate) acme_contact: Option<String>,
    /// The directory of the ACME server [default: Let's Encrypt]
    #[arg(long, value_name = "URL", env = "EVERWARM_ACME_DIRECTORY")]
    pub(crate) acme_directory: Option<String>,
    /// Certificates of an authority that the ACME server's own certificate is from, as PEM
    #[arg(long, value_name = "FILE", env = "EVERWARM_ACME_ROOT", value_hint = ValueHint::FilePath)]
    pub(crate) acme_root: Option<PathBuf>,
}
