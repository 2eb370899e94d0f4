//! What the compiler learns from before it builds the binary that ships: functions in every isolation,
//! small and large bodies both ways, and both versions of HTTP, each under load for a while.
//!
//! Owns what is exercised and for how long. Measures nothing: the binary under it counts its own branches
//! and writes them down when it ends. Code that never runs here is built small instead of fast, so what a
//! function does often must be in [`EXERCISES`]. Compiling components is, since each run compiles its own.

use std::net::SocketAddr;
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

use crate::load::http::get_from_host;
use crate::servers::{self, Isolation, Running, World, app, command_up};
use crate::settings::Settings;

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

/// A function of the app: its host, its guest, and how it is run.
struct Function {
    host: &'static str,
    guest: &'static str,
    world: World,
    isolation: Isolation,
}

const FUNCTIONS: &[Function] = &[
    Function {
        host: "hello-request-02.example.com",
        guest: "hello",
        world: World::Wasi02,
        isolation: Isolation::Request,
    },
    Function {
        host: "hello-serial-02.example.com",
        guest: "hello",
        world: World::Wasi02,
        isolation: Isolation::Serial,
    },
    Function {
        host: "hello-request-03.example.com",
        guest: "hello",
        world: World::Wasi03,
        isolation: Isolation::Request,
    },
    Function {
        host: "hello-serial-03.example.com",
        guest: "hello",
        world: World::Wasi03,
        isolation: Isolation::Serial,
    },
    Function {
        host: "hello-concurrent-03.example.com",
        guest: "hello",
        world: World::Wasi03,
        isolation: Isolation::Concurrent,
    },
    Function {
        host: "axum-request-02.example.com",
        guest: "axum-api",
        world: World::Wasi02,
        isolation: Isolation::Request,
    },
    Function {
        host: "echo-request-02.example.com",
        guest: "echo",
        world: World::Wasi02,
        isolation: Isolation::Request,
    },
    Function {
        host: "echo-request-03.example.com",
        guest: "echo",
        world: World::Wasi03,
        isolation: Isolation::Request,
    },
    Function {
        host: "echo-concurrent-03.example.com",
        guest: "echo",
        world: World::Wasi03,
        isolation: Isolation::Concurrent,
    },
];

/// What a request carries.
#[derive(Debug, Clone, Copy)]
enum Body {
    None,
    Bytes(usize),
}

#[derive(Debug, Clone, Copy)]
enum Http {
    One,
    Two,
}

/// One thing that functions do often.
#[derive(Debug, Clone, Copy)]
struct Exercise {
    host: &'static str,
    path: &'static str,
    body: Body,
    http: Http,
}

const fn get(host: &'static str, path: &'static str, http: Http) -> Exercise {
    Exercise {
        host,
        path,
        body: Body::None,
        http,
    }
}

const fn post(host: &'static str, path: &'static str, bytes: usize, http: Http) -> Exercise {
    Exercise {
        host,
        path,
        body: Body::Bytes(bytes),
        http,
    }
}

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
];

/// Serves the app with the binary under test, and takes it through every exercise.
///
/// # Errors
/// When the app doesn't start, or an answer is wrong or stays out.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let running = serve(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for exercise in EXERCISES {
        let answers = runtime
            .block_on(load(running.address, *exercise))
            .with_context(|| format!("{exercise:?}"))?;
        eprintln!("   {exercise:?}: {answers} answers");
    }
    Ok(())
}

fn serve(settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let mut manifest = app("train");
    for function in FUNCTIONS {
        let component = settings.guest(function.guest, function.world.version())?;
        let name = function.host.split('.').next().unwrap_or_default();
        let file = format!("{name}.wasm");
        std::fs::copy(component, folder.path().join(&file))?;
        let route = format!("{}/*", function.host);
        manifest.function(name, &file, &route, function.isolation, "");
    }
    manifest.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    let host = FUNCTIONS[0].host;
    // Asked by its host: no other answer comes from the app.
    servers::start_command("everwarm", command, folder, address, "/", |_| {
        get_from_host(address, host, "/")?.check_hello()
    })
}

/// How many answers came, all of them right.
async fn load(address: SocketAddr, exercise: Exercise) -> anyhow::Result<u64> {
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
                clients.spawn(repeat(Sender::One(sender), exercise, until));
            }
            Http::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                for _ in 0..STREAMS {
                    clients.spawn(repeat(Sender::Two(sender.clone()), exercise, until));
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
        let (method, bytes) = match self.body {
            Body::None => (Method::GET, 0),
            Body::Bytes(bytes) => (Method::POST, bytes),
        };
        let mut request = Request::new(Full::new(Bytes::from(vec![b'x'; bytes])));
        *request.method_mut() = method;
        request
    }
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn send(&mut self, exercise: Exercise) -> anyhow::Result<Response<Incoming>> {
        let mut request = exercise.request();
        let Exercise { host, path, .. } = exercise;
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
async fn repeat(mut sender: Sender, exercise: Exercise, until: Instant) -> anyhow::Result<u64> {
    let mut answers = 0;
    while Instant::now() < until {
        tokio::time::timeout(ANSWER_TIME_MAX, one(&mut sender, exercise))
            .await
            .context("no answer in time")??;
        answers += 1;
    }
    Ok(answers)
}

async fn one(sender: &mut Sender, exercise: Exercise) -> anyhow::Result<()> {
    let answer = sender.send(exercise).await?;
    ensure!(
        answer.status() == StatusCode::OK,
        "the answer was {}",
        answer.status()
    );
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(!body.is_empty(), "the answer was empty");
    Ok(())
}
