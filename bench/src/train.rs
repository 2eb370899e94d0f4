//! What the compiler learns from before it builds the binary that ships: functions in every isolation,
//! small and large bodies both ways, and both versions of HTTP, each under load for a while.
//!
//! Owns what is exercised and for how long; the app that is, is `served`'s. Measures nothing: the binary
//! under it counts its own branches and writes them down when it ends. Code that never runs here is built small instead of fast, so what a
//! function does often must be in [`EXERCISES`]. Compiling components is, since each run compiles its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::servers::{self, Native};
use crate::settings::Settings;

mod served;

use served::FILES_HOST;

/// How long each exercise is loaded.
const EXERCISE_TIME: Duration = Duration::from_secs(3);
/// How long each is whose bodies are large. A loop over bytes counts each of them: more of it, and what is counted
/// once a request would seem rare.
const LARGE_BODY_TIME: Duration = Duration::from_millis(200);
/// Requests in flight at any time.
const IN_FLIGHT: usize = 32;
/// How many of them share a connection of HTTP/2.
const STREAMS: usize = 8;
/// How long one request may take. A binary that counts is several times slower than others.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
const SMALL_BODY_BYTES: usize = 1 << 10;
const LARGE_BODY_BYTES: usize = 128 << 10;

/// What a request carries: none asks with `GET`, a body is posted.
#[derive(Debug, Clone, Copy)]
enum Body {
    None,
    Bytes(usize),
    Text(&'static str),
}

#[derive(Debug, Clone, Copy)]
enum Http {
    One,
    Two,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
enum Path {
    Own(&'static str),
    /// Of a guest that asks the other server.
    Upstream,
}

/// One thing that functions do often.
#[derive(Debug, Clone, Copy)]
struct Exercise {
    host: &'static str,
    path: Path,
    body: Body,
    http: Http,
}

const fn get(host: &'static str, path: &'static str, http: Http) -> Exercise {
    Exercise {
        host,
        path: Path::Own(path),
        body: Body::None,
        http,
    }
}

const fn post(host: &'static str, path: &'static str, bytes: usize, http: Http) -> Exercise {
    Exercise {
        host,
        path: Path::Own(path),
        body: Body::Bytes(bytes),
        http,
    }
}

const fn tell(host: &'static str, text: &'static str) -> Exercise {
    Exercise {
        host,
        path: Path::Own("/"),
        body: Body::Text(text),
        http: Http::One,
    }
}

const fn ask_upstream(host: &'static str) -> Exercise {
    Exercise {
        host,
        path: Path::Upstream,
        body: Body::None,
        http: Http::One,
    }
}

const CALL: &str = "/get?url=http%3A%2F%2Fcalled.everwarm.internal%2F";

const EXERCISES: &[Exercise] = &[
    get("hello-request-02.example.com", "/", Http::One),
    get("hello-request-02.example.com", "/", Http::Two),
    get("hello-serial-02.example.com", "/", Http::One),
    get("hello-request-03.example.com", "/", Http::One),
    get("hello-serial-03.example.com", "/", Http::One),
    get("hello-concurrent-03.example.com", "/", Http::One),
    get("hello-concurrent-03.example.com", "/", Http::Two),
    get("axum-request-02.example.com", "/api/todos", Http::One),
    get("axum-request-02.example.com", "/api/todos/7", Http::Two),
    post(
        "echo-request-02.example.com",
        "/",
        SMALL_BODY_BYTES,
        Http::One,
    ),
    post(
        "echo-request-02.example.com",
        "/",
        LARGE_BODY_BYTES,
        Http::One,
    ),
    post(
        "echo-request-02.example.com",
        "/count",
        LARGE_BODY_BYTES,
        Http::Two,
    ),
    post(
        "echo-request-03.example.com",
        "/",
        SMALL_BODY_BYTES,
        Http::One,
    ),
    post(
        "echo-request-03.example.com",
        "/",
        LARGE_BODY_BYTES,
        Http::Two,
    ),
    post(
        "echo-concurrent-03.example.com",
        "/",
        SMALL_BODY_BYTES,
        Http::One,
    ),
    post(
        "echo-concurrent-03.example.com",
        "/count",
        LARGE_BODY_BYTES,
        Http::One,
    ),
    ask_upstream("fetch-request-02.example.com"),
    ask_upstream("fetch-request-03.example.com"),
    get("fetch-request-02.example.com", CALL, Http::One),
    get("fetch-request-03.example.com", CALL, Http::One),
    get("kv-request-02.example.com", "/set", Http::One),
    get("kv-request-02.example.com", "/get", Http::One),
    get("kv-request-03.example.com", "/set", Http::One),
    get("kv-request-03.example.com", "/get", Http::One),
    tell("sql-request-02.example.com", SQL),
    tell("blobs-request-02.example.com", PUT_BLOB),
    get("blobs-request-02.example.com", "/files/small", Http::One),
    get("queue-request-02.example.com", "/fill", Http::One),
    get("kept-request-02.example.com", "/", Http::One),
    get("kept-request-02.example.com", "/", Http::Two),
    get(FILES_HOST, "/file.txt", Http::One),
    get(FILES_HOST, "/file.txt", Http::Two),
];

const SQL: &str = r#"{"asks": [
    {"execute": "CREATE TABLE IF NOT EXISTS hello (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT"},
    {"execute": ["INSERT INTO hello (text) VALUES (?1)", ["Hello"]]},
    {"query": ["SELECT text FROM hello WHERE id = ?1", [1]]}
]}"#;
const PUT_BLOB: &str = r#"{"container": "files", "op": "put", "name": "small", "text": "Hello"}"#;

/// Serves the app with the binary under test, and takes it through every exercise.
///
/// # Errors
/// When the app doesn't start, or an answer is wrong or stays out.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let upstream = servers::start(&Native, settings)?;
    let asking = format!("/get?url=http%3A%2F%2F{}%2F", upstream.address);
    let running = served::start(settings, upstream.address)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for exercise in EXERCISES {
        let answers = runtime
            .block_on(load(running.address, *exercise, &asking))
            .with_context(|| format!("{exercise:?}"))?;
        eprintln!("   {exercise:?}: {answers} answers");
    }
    Ok(())
}

/// How many answers came, all of them right.
async fn load(address: SocketAddr, exercise: Exercise, upstream: &str) -> anyhow::Result<u64> {
    let path: Arc<str> = match exercise.path {
        Path::Own(path) => path.into(),
        Path::Upstream => upstream.into(),
    };
    let until = Instant::now() + exercise.time();
    let mut clients = JoinSet::new();
    for _ in 0..exercise.connections() {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        match exercise.http {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await?;
                // Both ends with their senders, which the clients own.
                tokio::spawn(connection);
                clients.spawn(repeat(
                    Sender::One(sender),
                    exercise,
                    Arc::clone(&path),
                    until,
                ));
            }
            Http::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                for _ in 0..STREAMS {
                    let sender = Sender::Two(sender.clone());
                    clients.spawn(repeat(sender, exercise, Arc::clone(&path), until));
                }
            }
        }
    }
    let mut answers = 0;
    while let Some(ended) = clients.join_next().await {
        answers += ended.context("a client panicked")??;
    }
    Ok(answers)
}

impl Exercise {
    fn time(self) -> Duration {
        match self.body {
            Body::Bytes(LARGE_BODY_BYTES) => LARGE_BODY_TIME,
            _ => EXERCISE_TIME,
        }
    }

    fn connections(self) -> usize {
        match self.http {
            Http::One => IN_FLIGHT,
            Http::Two => IN_FLIGHT / STREAMS,
        }
    }

    fn request(self) -> Request<Full<Bytes>> {
        let (method, body) = match self.body {
            Body::None => (Method::GET, Bytes::new()),
            Body::Bytes(bytes) => (Method::POST, vec![b'x'; bytes].into()),
            Body::Text(text) => (Method::POST, Bytes::from_static(text.as_bytes())),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        request
    }
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn send(&mut self, exercise: Exercise, path: &str) -> anyhow::Result<Response<Incoming>> {
        let mut request = exercise.request();
        let host = exercise.host;
        match self {
            Self::One(sender) => {
                *request.uri_mut() = path.parse()?;
                request
                    .headers_mut()
                    .insert(hyper::header::HOST, host.parse()?);
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Self::Two(sender) => {
                *request.uri_mut() = format!("http://{host}{path}").parse()?;
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}

/// One request after the other until the time is up.
async fn repeat(
    mut sender: Sender,
    exercise: Exercise,
    path: Arc<str>,
    until: Instant,
) -> anyhow::Result<u64> {
    let mut answers = 0;
    while Instant::now() < until {
        tokio::time::timeout(ANSWER_TIME_MAX, one(&mut sender, exercise, &path))
            .await
            .context("no answer in time")??;
        answers += 1;
    }
    Ok(answers)
}

async fn one(sender: &mut Sender, exercise: Exercise, path: &str) -> anyhow::Result<()> {
    let answer = sender.send(exercise, path).await?;
    ensure!(
        answer.status() == StatusCode::OK,
        "the answer was {}",
        answer.status()
    );
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(!body.is_empty(), "the answer was empty");
    // Of guests that say what came of what they were told.
    ensure!(
        !body.starts_with(b"{\"error\"") && !body.starts_with(b"[{\"error\""),
        "the answer was {}",
        String::from_utf8_lossy(&body)
    );
    Ok(())
}
