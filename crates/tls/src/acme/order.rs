//! One order, from the account to the certificate.
//!
//! Challenges are HTTP-01: the plain listener is there anyway, every authority knows them, and they work behind
//! balancers that end TLS elsewhere.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;

use super::challenges::{Challenges, Posted};
use super::files::AcmeFiles;
use super::http::AcmeHttp;
use super::{AcmeConfig, blocking};
use crate::certificate::{Certificate, CertificateError};

/// How long an order may take in all.
const ORDER_TIME_MAX: Duration = Duration::from_mins(3);
/// How long an authority may take to look at challenges, and to issue.
const POLL_TIME_MAX: Duration = Duration::from_mins(1);

/// A certificate that was issued.
pub(super) struct Issued {
    pub(super) certificate: Certificate,
    /// The key, then the chain.
    pub(super) pem: SecretString,
}

/// An order failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("the ACME server: {0}")]
    Acme(#[from] Error),
    #[error("the authority offers no http-01 challenge for it")]
    NoChallenge,
    #[error("the authority didn't accept it: {0}")]
    Refused(String),
    #[error("the authority's certificate can't be used: {0}")]
    Certificate(#[from] CertificateError),
    #[error("the authority's certificate isn't for this host")]
    OtherHost,
    #[error("the account can't be kept: {0}")]
    Files(#[from] std::io::Error),
    #[error("the kept account can't be used: {0}")]
    Account(serde_json::Error),
    #[error("it took longer than {} s", ORDER_TIME_MAX.as_secs())]
    TooSlow,
    #[error("the order ended without an answer")]
    Broken,
}

/// The account at the server, made or read when it is first needed.
pub(super) struct Accounts {
    config: AcmeConfig,
    http: AcmeHttp,
    files: AcmeFiles,
    account: OnceCell<Account>,
}

impl Accounts {
    pub(super) fn new(config: AcmeConfig, http: AcmeHttp, files: AcmeFiles) -> Self {
        Self {
            config,
            http,
            files,
            account: OnceCell::new(),
        }
    }

    async fn account(&self) -> Result<&Account, OrderError> {
        self.account.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Account, OrderError> {
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        let files = self.files.clone();
        if let Some(kept) = blocking(move || files.account()).await? {
            let credentials: AccountCredentials =
                serde_json::from_str(kept.expose_secret()).map_err(OrderError::Account)?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact = self.config.contact.as_ref();
        let contact = contact.map(|contact| format!("mailto:{contact}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            // Nobody gets here without having said so.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.config.directory.clone();
        let (account, credentials) = builder.create(&new, directory, None).await?;
        let text = serde_json::to_string(&credentials).map_err(OrderError::Account)?;
        let (text, files) = (SecretString::from(text), self.files.clone());
        blocking(move || files.keep_account(&text)).await?;
        Ok(account)
    }
}

/// Orders a certificate for one host.
pub(super) async fn place(
    accounts: Arc<Accounts>,
    host: String,
    challenges: Arc<Challenges>,
) -> Result<Issued, OrderError> {
    let placed = async {
        let account = accounts.account().await?;
        let identifiers = [Identifier::Dns(host.clone())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        // The answers stay until the authority has looked.
        let posted = prove(&mut order, &challenges).await?;
        let status = order.poll_ready(&polling()).await;
        if !matches!(status, Ok(OrderStatus::Ready)) {
            let reason = why(&mut order).await;
            status?;
            return Err(OrderError::Refused(reason));
        }
        drop(posted);
        let key = SecretString::from(order.finalize().await?);
        let chain = order.poll_certificate(&polling()).await?;
        let certificate = Certificate::from_pem(chain.as_bytes(), key.expose_secret().as_bytes())?;
        if !certificate.names().contains(&host) {
            return Err(OrderError::OtherHost);
        }
        let pem = format!("{}{chain}", key.expose_secret()).into();
        Ok(Issued { certificate, pem })
    };
    tokio::time::timeout(ORDER_TIME_MAX, placed)
        .await
        .unwrap_or(Err(OrderError::TooSlow))
}

fn polling() -> RetryPolicy {
    RetryPolicy::new().timeout(POLL_TIME_MAX)
}

/// Answers the challenges of an order.
async fn prove(order: &mut Order, challenges: &Arc<Challenges>) -> Result<Vec<Posted>, OrderError> {
    let mut posted = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization
            .challenge(ChallengeType::Http01)
            .ok_or(OrderError::NoChallenge)?;
        let answer = challenge.key_authorization().as_str().to_owned();
        posted.push(challenges.post(challenge.token.clone(), answer));
        challenge.set_ready().await?;
    }
    Ok(posted)
}

/// What the authority says of the challenges that it didn't accept.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut challenges = state.challenges.iter();
        if let Some(error) = challenges.find_map(|challenge| challenge.error.as_ref()) {
            return error.to_string();
        }
    }
    "it doesn't say why".to_owned()
}
