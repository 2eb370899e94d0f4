//! A certificate authority that speaks ACME (RFC 8555), for a node to ask: it fetches challenges from the node, signs
//! what the node asks it to sign, and notes whatever the node does that the standard doesn't allow.

mod jws;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use x509_cert::der::Decode as _;
use x509_cert::request::CertReq;

use self::jws::Signed;
use crate::client::{self, Connection};
use crate::tls::{Authority, server_config};

/// See the module's documentation. It ends with this value.
pub struct AcmeServer {
    inner: Arc<Inner>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Inner {
    authority: Authority,
    base: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nonces: BTreeSet<String>,
    nonces_given: u64,
    /// The keys of accounts, by their addresses.
    accounts: BTreeMap<String, jws::Key>,
    orders: Vec<Order>,
    /// Where challenges are fetched.
    node: Option<SocketAddr>,
    refused: BTreeSet<String>,
    /// Dates of the next certificates, in seconds from now. Without any, it is good for 90 days.
    dates: Vec<(i64, i64)>,
    violations: Vec<String>,
}

struct Order {
    host: String,
    account: String,
    status: &'static str,
    token: String,
    chain: Option<String>,
}

/// An error document's type and what it says.
struct Refusal(&'static str, String);

type Answer = Result<Response<Full<Bytes>>, Refusal>;

impl Drop for AcmeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AcmeServer {
    /// Starts one on a free port. Its own certificate is from its own authority, which nobody trusts unasked.
    ///
    /// # Panics
    ///
    /// When there is no port to be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(server_config(&authority.issue(&["localhost"])));
        let inner = Arc::new(Inner {
            authority,
            base: format!("https://localhost:{}", address.port()),
            state: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&inner)));
        Self {
            inner,
            address,
            task,
        }
    }

    /// The address of its directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/directory", self.address.port())
    }

    /// Who signs its certificates.
    pub fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    /// Fetches challenges from here from now on, as if it were port 80 of every host.
    pub fn fetch_from(&self, node: SocketAddr) {
        self.inner.state().node = Some(node);
    }

    /// Accepts no challenge of this host.
    pub fn refuse(&self, host: &str) {
        self.inner.state().refused.insert(host.to_owned());
    }

    /// The next certificate is good from and until so many seconds from when it is made.
    pub fn next_dates(&self, from_s: i64, until_s: i64) {
        self.inner.state().dates.push((from_s, until_s));
    }

    /// The hosts that were ordered, in order.
    pub fn orders(&self) -> Vec<String> {
        let state = self.inner.state();
        state
            .orders
            .iter()
            .map(|order| order.host.clone())
            .collect()
    }

    /// How many accounts were made.
    pub fn accounts(&self) -> usize {
        self.inner.state().accounts.len()
    }

    /// What was done that the standard doesn't allow.
    pub fn violations(&self) -> Vec<String> {
        self.inner.state().violations.clone()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&inner)));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, inner: Arc<Inner>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let inner = Arc::clone(&inner);
        async move { Ok::<_, Infallible>(inner.answer(request).await) }
    });
    // A client that leaves is no failure.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let answer = match (head.method, &*path) {
            (Method::GET, "/directory") => Ok(document(StatusCode::OK, &self.directory())),
            (Method::HEAD, "/new-nonce") => Ok(document(StatusCode::OK, &json!({}))),
            (Method::POST, _) => {
                let is_jose = head
                    .headers
                    .get(header::CONTENT_TYPE)
                    .is_some_and(|value| value == "application/jose+json");
                match body.collect().await {
                    Ok(body) if is_jose => self.post(&path, &body.to_bytes()).await,
                    _ => Err(Refusal("malformed", "no JOSE body".to_owned())),
                }
            }
            (method, _) => Err(Refusal("malformed", format!("{method} {path}"))),
        };
        let mut response = answer.unwrap_or_else(|Refusal(kind, detail)| {
            let mut state = self.state();
            state.violations.push(format!("{path}: {kind}: {detail}"));
            let problem =
                json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail});
            document(StatusCode::BAD_REQUEST, &problem)
        });
        let nonce = self.state().nonce();
        response.headers_mut().insert("replay-nonce", nonce);
        response
    }

    fn directory(&self) -> Value {
        let at = |path: &str| format!("{}/{path}", self.base);
        json!({
            "newNonce": at("new-nonce"), "newAccount": at("new-account"), "newOrder": at("new-order"),
            "revokeCert": at("revoke"), "keyChange": at("key-change"), "meta": {"termsOfService": at("terms")},
        })
    }

    /// A signed request: its nonce, its address and its signature are looked at before anything else.
    async fn post(&self, path: &str, body: &[u8]) -> Answer {
        let malformed = |detail: String| Refusal("malformed", detail);
        let signed = Signed::parse(body).map_err(malformed)?;
        if !self.state().nonces.remove(&signed.nonce) {
            return Err(Refusal(
                "badNonce",
                "a nonce that wasn't given, or was used".to_owned(),
            ));
        }
        if signed.url != format!("{}{path}", self.base) {
            return Err(malformed(format!("signed for {}", signed.url)));
        }
        if path == "/new-account" {
            let key = signed
                .jwk
                .clone()
                .ok_or_else(|| malformed("no key".to_owned()))?;
            signed.verify(&key).map_err(malformed)?;
            return self.new_account(&signed, key);
        }
        let account = signed
            .kid
            .clone()
            .ok_or_else(|| malformed("no account".to_owned()))?;
        let key = self.state().accounts.get(&account).cloned();
        let key = key.ok_or_else(|| Refusal("accountDoesNotExist", account.clone()))?;
        signed.verify(&key).map_err(malformed)?;
        if path == "/new-order" {
            return self.new_order(&signed, account);
        }
        let (kind, number) = path[1..]
            .split_once('/')
            .and_then(|(kind, number)| Some((kind, number.parse::<usize>().ok()?)))
            .ok_or_else(|| malformed(path.to_owned()))?;
        if self
            .state()
            .orders
            .get(number)
            .is_none_or(|order| order.account != account)
        {
            return Err(malformed(format!("no order {number} of this account")));
        }
        match kind {
            "order" => Ok(document(StatusCode::OK, &self.order(number))),
            "authz" => Ok(document(StatusCode::OK, &self.authorization(number))),
            "challenge" => {
                self.validate(number, &key).await;
                let challenge = self.authorization(number)["challenges"][0].take();
                Ok(document(StatusCode::OK, &challenge))
            }
            "finalize" => self.finalize(number, &signed.payload),
            "cert" => {
                let chain = self.state().orders[number].chain.clone();
                Ok(Response::new(Full::from(chain.unwrap_or_default())))
            }
            _ => Err(malformed(path.to_owned())),
        }
    }

    fn new_account(&self, signed: &Signed, key: jws::Key) -> Answer {
        if signed.payload["termsOfServiceAgreed"] != true {
            return Err(Refusal(
                "userActionRequired",
                "no word on the terms".to_owned(),
            ));
        }
        let mut state = self.state();
        let account = format!("{}/account/{}", self.base, state.accounts.len());
        state.accounts.insert(account.clone(), key);
        let mut response = document(StatusCode::CREATED, &json!({"status": "valid"}));
        response
            .headers_mut()
            .insert(header::LOCATION, text(&account));
        Ok(response)
    }

    fn new_order(&self, signed: &Signed, account: String) -> Answer {
        let identifiers = signed.payload["identifiers"].as_array();
        let Some([identifier]) = identifiers.map(Vec::as_slice) else {
            return Err(Refusal(
                "malformed",
                "one identifier was expected".to_owned(),
            ));
        };
        let host = identifier["value"].as_str().unwrap_or_default().to_owned();
        let mut state = self.state();
        let number = state.orders.len();
        state.orders.push(Order {
            token: BASE64_URL_SAFE_NO_PAD.encode(format!("challenge {number} of {host}")),
            host,
            account,
            status: "pending",
            chain: None,
        });
        drop(state);
        let mut response = document(StatusCode::CREATED, &self.order(number));
        let location = format!("{}/order/{number}", self.base);
        response
            .headers_mut()
            .insert(header::LOCATION, text(&location));
        Ok(response)
    }

    fn order(&self, number: usize) -> Value {
        let state = self.state();
        let order = &state.orders[number];
        let mut told = json!({
            "status": order.status,
            "identifiers": [{"type": "dns", "value": order.host}],
            "authorizations": [format!("{}/authz/{number}", self.base)],
            "finalize": format!("{}/finalize/{number}", self.base),
        });
        if order.chain.is_some() {
            told["certificate"] = format!("{}/cert/{number}", self.base).into();
        }
        told
    }

    fn authorization(&self, number: usize) -> Value {
        let state = self.state();
        let order = &state.orders[number];
        let status = match order.status {
            "ready" => "valid",
            other => other,
        };
        let mut challenge = json!({
            "type": "http-01", "url": format!("{}/challenge/{number}", self.base), "token": order.token,
            "status": status,
        });
        if status == "invalid" {
            challenge["error"] = json!({
                "type": "urn:ietf:params:acme:error:unauthorized", "detail": "the answer isn't the one",
            });
        }
        json!({
            "status": status, "identifier": {"type": "dns", "value": order.host}, "challenges": [challenge],
        })
    }

    /// Fetches the answer to a challenge from the node, at the host that it is about.
    async fn validate(&self, number: usize, key: &jws::Key) {
        let (host, token, node, is_refused) = {
            let state = self.state();
            let order = &state.orders[number];
            let is_refused = state.refused.contains(&order.host);
            (
                order.host.clone(),
                order.token.clone(),
                state.node,
                is_refused,
            )
        };
        let wanted = format!("{token}.{}", key.thumbprint());
        let path = format!("/.well-known/acme-challenge/{token}");
        let mut is_right = false;
        if let Some(node) = node {
            let mut connection = Connection::http1(node).await;
            let request = client::Request::get(&path).header("host", &host);
            let reply = connection.send(request).await;
            is_right = reply.status() == 200 && reply.text() == wanted;
        }
        let mut state = self.state();
        if !is_right {
            let violation = format!("no answer, or another one, to the challenge of {host}");
            state.violations.push(violation);
        }
        state.orders[number].status = if is_right && !is_refused {
            "ready"
        } else {
            "invalid"
        };
    }

    fn finalize(&self, number: usize, payload: &Value) -> Answer {
        let bad = |detail: &str| Refusal("badCSR", detail.to_owned());
        let csr = payload["csr"].as_str().unwrap_or_default();
        let csr = BASE64_URL_SAFE_NO_PAD
            .decode(csr)
            .map_err(|_| bad("no base64"))?;
        let request = CertReq::from_der(&csr).map_err(|_| bad("no request"))?;
        let mut state = self.state();
        let host = state.orders[number].host.clone();
        if state.orders[number].status != "ready" {
            return Err(Refusal("orderNotReady", host));
        }
        if !csr
            .windows(host.len())
            .any(|bytes| bytes == host.as_bytes())
        {
            return Err(bad("it is for another host"));
        }
        let mut params = CertificateParams::new([host]).map_err(|_| bad("no host"))?;
        let (from, until) = if state.dates.is_empty() {
            (0, 90 * 86_400)
        } else {
            state.dates.remove(0)
        };
        (params.not_before, params.not_after) = (at(from).into(), at(until).into());
        let key = RequestedKey(
            request
                .info
                .public_key
                .subject_public_key
                .raw_bytes()
                .to_vec(),
        );
        let certificate = self.authority.sign(&params, &key);
        let order = &mut state.orders[number];
        order.chain = Some(format!("{}{}", certificate.pem(), self.authority.pem()));
        order.status = "valid";
        drop(state);
        Ok(document(StatusCode::OK, &self.order(number)))
    }
}

impl State {
    fn nonce(&mut self) -> HeaderValue {
        self.nonces_given += 1;
        let nonce = format!("nonce-{}", self.nonces_given);
        self.nonces.insert(nonce.clone());
        text(&nonce)
    }
}

/// The key of a request for a certificate, which is one on P-256.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

fn at(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    if seconds < 0 {
        now - distance
    } else {
        now + distance
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("what the server makes is text")
}

fn document(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
