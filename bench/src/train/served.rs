//! The app that is exercised: a function for each guest, world and isolation, each at a host of its own, with what it is granted.

use std::net::SocketAddr;

use crate::load::http::get_from_host;
use crate::servers::{self, App, Isolation, Running, World, app, command_up};
use crate::settings::Settings;

use Isolation::{Concurrent, Request, Serial};
use World::{Wasi02, Wasi03};

/// Where the app's files are: no function is there.
pub(super) const FILES_HOST: &str = "train.localhost";
const FILE_BYTES: usize = 10 << 10;

/// What a function has besides its routes.
#[derive(Debug, Clone, Copy)]
enum Has {
    Nothing,
    /// The other server, and the function that is only called.
    Others,
    KeyValue,
    Sql,
    Blobs,
    Queue,
    /// Its answers are kept.
    Cache,
}

struct Function {
    guest: &'static str,
    world: World,
    isolation: Isolation,
    has: Has,
    /// What its host begins with.
    name: &'static str,
}

const fn function(
    name: &'static str,
    guest: &'static str,
    world: World,
    isolation: Isolation,
    has: Has,
) -> Function {
    Function {
        guest,
        world,
        isolation,
        has,
        name,
    }
}

const FUNCTIONS: &[Function] = &[
    function("hello-request-02", "hello", Wasi02, Request, Has::Nothing),
    function("hello-serial-02", "hello", Wasi02, Serial, Has::Nothing),
    function("hello-request-03", "hello", Wasi03, Request, Has::Nothing),
    function("hello-serial-03", "hello", Wasi03, Serial, Has::Nothing),
    function(
        "hello-concurrent-03",
        "hello",
        Wasi03,
        Concurrent,
        Has::Nothing,
    ),
    function("axum-request-02", "axum-api", Wasi02, Request, Has::Nothing),
    function("echo-request-02", "echo", Wasi02, Request, Has::Nothing),
    function("echo-request-03", "echo", Wasi03, Request, Has::Nothing),
    function(
        "echo-concurrent-03",
        "echo",
        Wasi03,
        Concurrent,
        Has::Nothing,
    ),
    function("fetch-request-02", "fetch", Wasi02, Request, Has::Others),
    function("fetch-request-03", "fetch", Wasi03, Request, Has::Others),
    function("kv-request-02", "kv", Wasi02, Request, Has::KeyValue),
    function("kv-request-03", "kv", Wasi03, Request, Has::KeyValue),
    function("sql-request-02", "sql", Wasi02, Request, Has::Sql),
    function("blobs-request-02", "blobs", Wasi02, Request, Has::Blobs),
    function("queue-request-02", "queue", Wasi02, Request, Has::Queue),
    function("kept-request-02", "hello", Wasi02, Request, Has::Cache),
];

/// The function that others call.
const CALLED: &str = "called";

const TABLES: &str = r#"
[[assets]]
path = "public"

[[sql]]
name = "default"

[[blobs]]
name = "files"

[[queue]]
name = "jobs"
function = "queue-request-02"
path = "/count"
batch = 10
concurrency = 16
"#;

/// Serves the app with the binary under test. Its functions may ask `upstream`.
pub(super) fn start(settings: &Settings, upstream: SocketAddr) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let mut manifest = app("train");
    for function in FUNCTIONS {
        let component = settings.guest(function.guest, function.world.version())?;
        let file = format!("{}.wasm", function.name);
        std::fs::copy(component, folder.path().join(&file))?;
        let route = format!("{}.example.com/*", function.name);
        manifest.function(function.name, &file, &route, function.isolation, "");
        give(&mut manifest, function.has, upstream);
    }
    let called = settings.guest("hello", Wasi02.version())?;
    std::fs::copy(called, folder.path().join("called.wasm"))?;
    manifest.unrouted(CALLED, "called.wasm");
    manifest.lines(TABLES);
    manifest.write(folder.path())?;
    let public = folder.path().join("public");
    std::fs::create_dir(&public)?;
    std::fs::write(public.join("file.txt"), vec![b'x'; FILE_BYTES])?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    let host = format!("{}.example.com", FUNCTIONS[0].name);
    // Asked by its host: no other answer comes from the app.
    servers::start_command("everwarm", command, folder, address, "/", move |_| {
        get_from_host(address, &host, "/")?.check_hello()
    })
}

/// Gives the function that was added last what it has.
fn give(app: &mut App, has: Has, upstream: SocketAddr) {
    let grants = match has {
        Has::Nothing => return,
        Has::Cache => return app.keep_answers("1h"),
        Has::Others => format!("http = [\"http://{upstream}\"]\nfunctions = [\"{CALLED}\"]"),
        Has::KeyValue => "kv = [\"default\"]".to_owned(),
        Has::Sql => "sql = [\"default\"]".to_owned(),
        Has::Blobs => "blobs = [\"files\"]".to_owned(),
        Has::Queue => "kv = [\"default\"]\nqueues = [\"jobs\"]".to_owned(),
    };
    app.grant_lines(&grants);
}
