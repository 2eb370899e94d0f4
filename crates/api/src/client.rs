//! A typed client of the admin API.
//!
//! Owns how an operation is sent and how its answer is read. Knows nothing of where tokens are kept or how results
//! are shown.

mod address;
mod backup;
mod blobs;
mod cache;
mod connect;
mod error;
mod kv;
mod secrets;
mod streamed;
mod triggers;
mod uploading;
mod uploads;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::address::{filled, query};
pub use self::backup::Archive;
pub use self::blobs::{Blob, BlobIf, BlobList, BlobsOf, NO_BLOB, NOT_AS_ASKED};
use self::connect::Connector;
pub use self::error::ClientError;
pub use self::kv::{KvQuery, KvStore, NO_VALUE};
pub use self::triggers::TriggerOf;
use self::uploading::Pieces;
pub use self::uploading::{Source, UploadError};
use crate::messages::{
    App, AppPage, AuditPage, Deploy, Deployed, Identity, LogPage, LogQuery, NewToken, Quotas,
    Rollback, SecretToken, SetTraffic, Tenant, TenantPage, TokenPage, Traffic, UsagePage,
    VersionPage,
};
use crate::operations::{self, Operation, TENANT_HEADER};
use crate::problem::Problem;
use crate::token::Token;

/// How long a node may take to answer. A deploy compiles before it does.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(10);
/// An answer larger than this is none that a node gives.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Bytes of an answer in plain words that are told.
const WORDS_BYTES_MAX: usize = 100;

/// A node, as somebody with a token sees it.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http<Connector, Either<Full<Bytes>, Pieces>>,
    /// Scheme and authority.
    node: Uri,
    token: Token,
    tenant: Option<String>,
}

impl Client {
    /// A client of the node at `node`. With a token of the node, `tenant` says for whom it acts. Over `https` the
    /// authorities of the system vouch for the node.
    ///
    /// # Errors
    /// [`ClientError::Address`] when `node` isn't a scheme and a host, with a port or without, and
    /// [`ClientError::Authority`] when the system has no authorities.
    pub fn new(node: &str, token: Token, tenant: Option<String>) -> Result<Self, ClientError> {
        Self::with_authority(node, token, tenant, None)
    }

    /// As [`Self::new`]; with an authority's certificates, as PEM, nobody else vouches for the node.
    ///
    /// # Errors
    /// As [`Self::new`], and when `authority` can't be used.
    pub fn with_authority(
        node: &str,
        token: Token,
        tenant: Option<String>,
        authority: Option<&[u8]>,
    ) -> Result<Self, ClientError> {
        let address = || ClientError::Address(node.to_owned());
        let uri: Uri = node.trim_end_matches('/').parse().map_err(|_| address())?;
        if !["http", "https"].contains(&uri.scheme_str().unwrap_or_default())
            || uri.authority().is_none()
            || uri.path_and_query().is_some_and(|rest| rest != "/")
        {
            return Err(address());
        }
        let connector = connect::connector(uri.scheme_str() == Some("https"), authority)?;
        Ok(Self {
            http: Http::builder(TokioExecutor::new()).build(connector),
            node: uri,
            token,
            tenant,
        })
    }

    /// Tells whom the node takes this client for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn who_am_i(&self) -> Result<Identity, ClientError> {
        self.json(&operations::WHO_AM_I, &[], "", None).await
    }

    /// Lists apps by name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn apps(&self, after: Option<&str>) -> Result<AppPage, ClientError> {
        let query = query(&[("after", after)]);
        self.json(&operations::LIST_APPS, &[], &query, None).await
    }

    /// Tells of one app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn app(&self, app: &str) -> Result<App, ClientError> {
        self.json(&operations::GET_APP, &[app], "", None).await
    }

    /// Removes an app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_app(&self, app: &str) -> Result<(), ClientError> {
        let request = self.request(&operations::REMOVE_APP, &[app], "", Full::default())?;
        self.nothing(request).await
    }

    /// Lists an app's versions, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn versions(
        &self,
        app: &str,
        before: Option<&str>,
    ) -> Result<VersionPage, ClientError> {
        let query = query(&[("before", before)]);
        self.json(&operations::LIST_VERSIONS, &[app], &query, None)
            .await
    }

    /// Deploys. With a key that is new for each deploy, repeating a call whose answer was lost does nothing twice.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deploy(
        &self,
        app: &str,
        deploy: &Deploy,
        key: Option<&str>,
    ) -> Result<Deployed, ClientError> {
        let mut request = self.request(&operations::DEPLOY, &[app], "", body(deploy)?)?;
        if let Some(key) = key {
            let headers = request.headers_mut();
            headers.insert(operations::IDEMPOTENCY_HEADER, header_value(key)?);
        }
        self.read(request).await
    }

    /// Gives a version all requests of its app, or a part.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_traffic(
        &self,
        app: &str,
        traffic: &SetTraffic,
    ) -> Result<Traffic, ClientError> {
        let body = body(traffic)?;
        self.json(&operations::SET_TRAFFIC, &[app], "", Some(body))
            .await
    }

    /// Goes back to what served before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn roll_back(&self, app: &str, rollback: &Rollback) -> Result<Traffic, ClientError> {
        let body = body(rollback)?;
        self.json(&operations::ROLL_BACK, &[app], "", Some(body))
            .await
    }

    /// Lists tenants by name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tenants(&self, after: Option<&str>) -> Result<TenantPage, ClientError> {
        let query = query(&[("after", after)]);
        self.json(&operations::LIST_TENANTS, &[], &query, None)
            .await
    }

    /// Makes a tenant, or changes its quotas.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_tenant(&self, tenant: &str, quotas: &Quotas) -> Result<Tenant, ClientError> {
        let body = body(quotas)?;
        self.json(&operations::PUT_TENANT, &[tenant], "", Some(body))
            .await
    }

    /// Removes a tenant.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_tenant(&self, tenant: &str) -> Result<(), ClientError> {
        let request = self.request(&operations::REMOVE_TENANT, &[tenant], "", Full::default())?;
        self.nothing(request).await
    }

    /// Lists the tokens of the tenant, or of the node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tokens(&self, of_node: bool) -> Result<TokenPage, ClientError> {
        let query = query(&[("of_node", of_node.then_some("true"))]);
        self.json(&operations::LIST_TOKENS, &[], &query, None).await
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn make_token(&self, token: &NewToken) -> Result<SecretToken, ClientError> {
        let body = body(token)?;
        self.json(&operations::MAKE_TOKEN, &[], "", Some(body))
            .await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_token(&self, id: &str, of_node: bool) -> Result<(), ClientError> {
        let query = query(&[("of_node", of_node.then_some("true"))]);
        let request = self.request(&operations::REMOVE_TOKEN, &[id], &query, Full::default())?;
        self.nothing(request).await
    }

    /// Lists who changed what, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit(
        &self,
        of_node: bool,
        before: Option<&str>,
    ) -> Result<AuditPage, ClientError> {
        let query = query(&[("of_node", of_node.then_some("true")), ("before", before)]);
        self.json(&operations::LIST_AUDIT, &[], &query, None).await
    }

    /// Tells what an app's functions printed lately, and the access lines of their requests.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn logs(&self, app: &str, asked: &LogQuery) -> Result<LogPage, ClientError> {
        let (limit, since, wait) = (
            asked.limit.map(|lines| lines.to_string()),
            asked.since_ms.map(|ms| ms.to_string()),
            asked.wait_s.map(|s| s.to_string()),
        );
        let query = query(&[
            ("after", asked.after.as_deref()),
            ("limit", limit.as_deref()),
            ("version", asked.version.as_deref()),
            ("function", asked.function.as_deref()),
            ("since", since.as_deref()),
            ("wait", wait.as_deref()),
        ]);
        self.json(&operations::GET_LOGS, &[app], &query, None).await
    }

    /// Tells what functions used in the hours from `from_s` until `until_s`, in seconds since 1970.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn usage(
        &self,
        of_node: bool,
        from_s: Option<u64>,
        until_s: Option<u64>,
    ) -> Result<UsagePage, ClientError> {
        let (from, until) = (
            from_s.map(|s| s.to_string()),
            until_s.map(|s| s.to_string()),
        );
        let query = query(&[
            ("of_node", of_node.then_some("true")),
            ("from", from.as_deref()),
            ("until", until.as_deref()),
        ]);
        self.json(&operations::GET_USAGE, &[], &query, None).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        segments: &[&str],
        query: &str,
        body: Option<Full<Bytes>>,
    ) -> Result<T, ClientError> {
        let request = self.request(operation, segments, query, body.unwrap_or_default())?;
        self.read(request).await
    }

    fn request(
        &self,
        operation: &Operation,
        segments: &[&str],
        query: &str,
        body: Full<Bytes>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let path = filled(operation.path, segments);
        let uri = format!(
            "{}{path}{query}",
            self.node.to_string().trim_end_matches('/')
        );
        let mut request = Request::new(body);
        *request.method_mut() = operation.method.clone();
        *request.uri_mut() = uri.parse().map_err(|_| ClientError::Address(uri))?;
        let headers = request.headers_mut();
        let mut authorization = header_value(&format!("Bearer {}", self.token.expose()))?;
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(tenant) = &self.tenant {
            headers.insert(TENANT_HEADER, header_value(tenant)?);
        }
        Ok(request)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        self.message(response)
    }

    /// The message in an answer, or the problem.
    fn message<T: DeserializeOwned>(&self, response: Response<Bytes>) -> Result<T, ClientError> {
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            return Err(self.problem(head.status, &body, &head.headers));
        }
        serde_json::from_slice(&body).map_err(|error| self.strange(&error))
    }

    async fn nothing(&self, request: Request<Full<Bytes>>) -> Result<(), ClientError> {
        let response = self.send(request).await?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return Ok(());
        }
        Err(self.problem(head.status, &body, &head.headers))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let answered = async {
            let response = self.http.request(request.map(Either::Left)).await;
            let response = response.map_err(|error| self.unreached(&error))?;
            self.whole(response).await
        };
        tokio::time::timeout(ANSWER_TIME_MAX, answered)
            .await
            .unwrap_or_else(|_| Err(self.no_answer(ANSWER_TIME_MAX)))
    }

    /// Reads an answer to its end.
    async fn whole(&self, response: Response<Incoming>) -> Result<Response<Bytes>, ClientError> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.strange(&error))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    fn no_answer(&self, within: Duration) -> ClientError {
        self.broke_off(&format!("no answer in {} s", within.as_secs()))
    }

    fn broke_off(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Unreachable {
            node: self.node.clone(),
            reason: reason.to_string(),
        }
    }

    /// Why a request found no answer.
    fn unreached(&self, error: &(dyn std::error::Error + 'static)) -> ClientError {
        match connect::distrust(error) {
            Some(reason) => ClientError::Untrusted {
                node: self.node.clone(),
                reason,
            },
            None => self.broke_off(&innermost(error)),
        }
    }

    /// The problem that an answer tells of.
    fn problem(&self, status: StatusCode, body: &Bytes, headers: &http::HeaderMap) -> ClientError {
        if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
            return ClientError::Problem(Box::new(problem));
        }
        match headers.get("everwarm-error").map(HeaderValue::to_str) {
            Some(Ok(code)) => {
                let detail = format!("the node answered {status}");
                let problem = Problem::new(status.as_u16(), code, "Failed", detail);
                ClientError::Problem(Box::new(problem))
            }
            // Whoever answers in plain words, as a port for TLS does, says more than a status.
            _ => match std::str::from_utf8(body)
                .ok()
                .and_then(|body| body.lines().next())
            {
                Some(line) if line.len() <= WORDS_BYTES_MAX => {
                    self.strange(&format!("status {status}: {line}"))
                }
                _ => self.strange(&format!("status {status}")),
            },
        }
    }

    fn strange(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Strange {
            node: self.node.clone(),
            reason: reason.to_string(),
        }
    }
}

/// What an error is about in the end: the outer ones say "client error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn body(value: &impl Serialize) -> Result<Full<Bytes>, ClientError> {
    let bytes =
        serde_json::to_vec(value).map_err(|error| ClientError::Header(error.to_string()))?;
    Ok(Full::new(bytes.into()))
}

/// The number in a field of a head.
fn number(headers: &http::HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn header_value(text: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(text).map_err(|_| ClientError::Header("a value".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_a_scheme_and_a_host() {
        let token = Token::random().unwrap();
        for good in [
            "http://127.0.0.1:3001",
            "http://node.example.com/",
            "http://[::1]:1",
            "https://node.example.com:3001/",
        ] {
            assert!(Client::new(good, token.clone(), None).is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:3001",
            "ftp://x",
            "http://",
            "http://x/path",
            "",
            "http://x/?q",
        ] {
            let error = Client::new(bad, token.clone(), None).unwrap_err();
            assert_eq!(error.code(), "EW5002", "{bad}");
        }
    }
}
