//! Answers that memory has let go of, or that are too large for it: on the disk, as they were, until they are purged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use everwarm_api::messages::CachePurge;
use everwarm_e2e::{DataFolder, NewApp, Reply, Request, Server, eventually};
use http::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

const HOST: &str = "cached.example.com";
/// What an answer here has, of which memory keeps a few.
const BYTES: usize = 100_000;
/// More than memory keeps of one answer.
const LARGE_BYTES: usize = 3_000_000;
/// What a tenant may have on the disk, half of what the node may.
const DISK_BYTES_OF_TENANT: u64 = 8 << 20;

/// A node that has little memory for answers.
fn command(data: &DataFolder) -> Command {
    let mut command = data.command();
    command.args(["--cache-memory-max", "1MiB", "--cache-disk-max", "16MiB"]);
    command
}

async fn start(data: &DataFolder) -> Server {
    data.start_with(command(data)).await
}

async fn deployed(data: &DataFolder) -> Server {
    let server = start(data).await;
    let app = NewApp::new("cached", "cached", &["/*"])
        .line("[function.cache]\ndefault_ttl = \"1h\"")
        .line("[function.grants]\nkv = [\"default\"]")
        .line("[function.limits]\ncpu_time = \"10s\"");
    app.deploy(&server.client()).await.unwrap();
    server
}

async fn put(server: &Server, path: &str, body: String) -> Reply {
    let request = Request::with_body(Method::PUT, path, body).header("host", HOST);
    server.node.send(request).await
}

async fn plan(server: &Server, path: &str, plan: Value) {
    put(server, &format!("/plan?{path}"), plan.to_string())
        .await
        .ok();
}

async fn calls(server: &Server, path: &str) -> u32 {
    let calls = put(server, &format!("/calls?{path}"), String::new()).await;
    calls.text().parse().unwrap()
}

fn said(reply: &Reply) -> &str {
    reply.header("cache-status").unwrap_or_default()
}

fn is_read(reply: &Reply) -> bool {
    said(reply).starts_with("everwarm; hit") && said(reply).ends_with("detail=disk")
}

async fn get(server: &Server, path: &str) -> Reply {
    server.get(HOST, path).await
}

/// Has memory let go of what it has.
async fn press_out(server: &Server) {
    for number in 0..8 {
        let path = format!("/press-{number}");
        plan(
            server,
            &path,
            json!({ "bytes": BYTES, "headers": [["cache-tag", "press"]] }),
        )
        .await;
        // The function is asked, or it is read from the disk: memory keeps it either way.
        get(server, &path).await.ok();
    }
}

/// The reply to a request that is read from the disk for it.
async fn read(server: &Server, path: &str, header: (&str, &str)) -> Reply {
    eventually("it is read from the disk", async || {
        press_out(server).await;
        let request = Request::get(path).header("host", HOST);
        let reply = server.node.send(request.header(header.0, header.1)).await;
        is_read(&reply).then_some(reply)
    })
    .await
}

/// Waits until a node that was started again knows what is on the disk.
async fn taken_up(server: &Server, data: &DataFolder) {
    eventually("what is on the disk is known", async || {
        let usage = server.client().cache("cached").await.unwrap();
        let known = usize::try_from(usage.disk_entries).unwrap();
        (known > 0 && known == files(data).len()).then_some(())
    })
    .await;
}

const PLAIN: (&str, &str) = ("accept", "*/*");

/// The files of answers.
fn files(data: &DataFolder) -> Vec<PathBuf> {
    let folders = fs::read_dir(data.path().join("cache"))
        .into_iter()
        .flatten();
    let folders = folders
        .flatten()
        .filter_map(|folder| fs::read_dir(folder.path()).ok());
    folders
        .flatten()
        .flatten()
        .map(|file| file.path())
        .collect()
}

async fn purge(server: &Server, urls: &[&str], tags: &[&str], all: bool) -> u64 {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let what = CachePurge {
        urls: owned(urls),
        tags: owned(tags),
        all,
    };
    server
        .client()
        .purge_cache("cached", &what)
        .await
        .unwrap()
        .purged
}

#[tokio::test]
async fn answer_that_memory_has_let_go_of_is_read_from_the_disk() {
    let data = DataFolder::new();
    let server = deployed(&data).await;
    let headers = [
        ["etag", "\"a\""],
        ["content-type", "text/plain"],
        ["x-own", "1"],
    ];
    plan(&server, "/a", json!({ "bytes": BYTES, "headers": headers })).await;
    let first = get(&server, "/a").await;
    let again = read(&server, "/a", PLAIN).await;
    assert!(again.bytes() == first.bytes() && again.status() == StatusCode::OK);
    for name in ["etag", "content-type", "x-own", "date", "x-call"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert!(again.header("age").is_some() && again.header("server-timing").is_none());
    // It is in memory again, which may have let it go at once for what came before.
    eventually("it is in memory", async || {
        let reply = get(&server, "/a").await;
        (said(&reply).contains("hit") && !is_read(&reply)).then_some(())
    })
    .await;
    let part = read(&server, "/a", ("range", "bytes=5-5")).await;
    assert_eq!(
        (part.status(), part.text()),
        (StatusCode::PARTIAL_CONTENT, "1")
    );
    let known = read(&server, "/a", ("if-none-match", "\"a\"")).await;
    assert_eq!(
        (known.status(), known.text()),
        (StatusCode::NOT_MODIFIED, "")
    );
    let packed = read(&server, "/a", ("accept-encoding", "gzip")).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let wanted = read(&server, "/a", ("cache-control", "only-if-cached")).await;
    assert!(wanted.bytes() == first.bytes());
    assert_eq!(calls(&server, "/a").await, 1);
    let usage = server.client().cache("cached").await.unwrap();
    assert!(
        usage.disk_hits >= 5 && usage.disk_entries >= 1 && usage.disk_bytes > 0,
        "{usage:?}"
    );
    // What takes its place is what is read from then on.
    let newer = Request::get("/a")
        .header("host", HOST)
        .header("cache-control", "no-cache");
    assert_eq!(server.node.send(newer).await.header("x-call"), Some("2"));
    let newest = read(&server, "/a", PLAIN).await;
    assert_eq!(newest.header("x-call"), Some("2"));
    let line = "everwarm_cache_disk_hits_total{tenant=\"default\",app=\"cached\"}";
    let token = format!("Bearer {}", server.first_token().expose());
    let metrics = Request::get("/metrics").header("authorization", &token);
    assert!(server.ask_admin(metrics).await.text().contains(line));
}

#[tokio::test]
async fn answer_that_is_too_large_for_memory_is_sent_from_the_disk() {
    let data = DataFolder::new();
    let server = deployed(&data).await;
    plan(
        &server,
        "/large",
        json!({ "bytes": LARGE_BYTES, "headers": [["cache-tag", "large"]] }),
    )
    .await;
    let first = get(&server, "/large").await;
    assert_eq!(first.bytes().len(), LARGE_BYTES + "call 1\n".len());
    let again = eventually("it is on the disk", async || {
        let reply = get(&server, "/large").await;
        is_read(&reply).then_some(reply)
    })
    .await;
    let call = again.header("x-call").unwrap().to_owned();
    assert_eq!(&again.bytes()[6..], &first.bytes()[6..]);
    let length = again.bytes().len().to_string();
    assert_eq!(again.header("content-length"), Some(length.as_str()));
    let ask = async |request: Request| server.node.send(request.header("host", HOST)).await;
    let head = ask(Request::new(Method::HEAD, "/large")).await;
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    let part = ask(Request::get("/large").header("range", "bytes=3-200002")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert!(part.bytes() == &again.bytes()[3..=200_002]);
    let last = ask(Request::get("/large").header("range", "bytes=-1")).await;
    assert_eq!((last.text(), is_read(&last)), ("x", true));
    let before = calls(&server, "/large").await;
    assert_eq!(
        get(&server, "/large").await.header("x-call"),
        Some(call.as_str())
    );
    assert_eq!(calls(&server, "/large").await, before);
    // A client that leaves in the middle of it keeps nobody else from it.
    let mut leaves = server.node.connect_raw().await;
    leaves
        .write(format!("GET /large HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes())
        .await;
    drop(leaves);
    assert!(is_read(&get(&server, "/large").await));
    assert_eq!(purge(&server, &[], &["large"], false).await, 1);
    assert!(said(&get(&server, "/large").await).contains("uri-miss"));
}

#[tokio::test]
async fn purges_are_of_what_is_on_the_disk_too_and_hold_in_the_next_process() {
    let data = DataFolder::new();
    let server = deployed(&data).await;
    let paths = ["/url", "/tag", "/stays"];
    for path in paths {
        plan(
            &server,
            path,
            json!({ "bytes": BYTES, "headers": [["cache-tag", &path[1..]]] }),
        )
        .await;
        get(&server, path).await.ok();
        read(&server, path, PLAIN).await;
    }
    press_out(&server).await;
    let before = files(&data).len();
    let url = format!("http://{HOST}/url");
    assert_eq!(purge(&server, &[&url], &["tag"], false).await, 2);
    assert!(files(&data).len() < before);
    // Nobody asks for them before the node is gone without a word.
    server.node.stop(Signal::KILL).await;
    let server = start(&data).await;
    taken_up(&server, &data).await;
    let stays = read(&server, "/stays", PLAIN).await;
    assert_eq!(stays.header("x-call"), Some("1"));
    for path in ["/url", "/tag"] {
        assert_eq!(
            get(&server, path).await.header("x-call"),
            Some("2"),
            "{path}"
        );
    }
    assert!(purge(&server, &[], &[], true).await > 0);
    assert_eq!(files(&data), Vec::<PathBuf>::new());
    assert_eq!(get(&server, "/stays").await.header("x-call"), Some("2"));
    let usage = server.client().cache("cached").await.unwrap();
    assert_eq!(
        (usage.entries, usage.disk_entries, usage.disk_bytes),
        (1, 0, 0)
    );
}

#[tokio::test]
async fn what_an_unsafe_method_made_untrue_does_not_come_back() {
    let data = DataFolder::new();
    let server = deployed(&data).await;
    for path in ["/stays", "/a"] {
        plan(&server, path, json!({ "bytes": BYTES })).await;
        get(&server, path).await.ok();
        read(&server, path, PLAIN).await;
    }
    press_out(&server).await;
    let changed = Request::post("/a", "x").header("host", HOST);
    server.node.send(changed).await.ok();
    server.node.stop(Signal::KILL).await;
    let server = start(&data).await;
    taken_up(&server, &data).await;
    let stays = read(&server, "/stays", PLAIN).await;
    assert_eq!(stays.header("x-call"), Some("1"));
    assert_eq!(get(&server, "/a").await.header("x-call"), Some("3"));
}

#[tokio::test]
async fn app_that_is_removed_leaves_no_file() {
    let data = DataFolder::new();
    let server = deployed(&data).await;
    plan(&server, "/a", json!({ "bytes": BYTES })).await;
    get(&server, "/a").await.ok();
    read(&server, "/a", PLAIN).await;
    assert!(!files(&data).is_empty());
    server.client().remove_app("cached").await.unwrap();
    assert_eq!(files(&data), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn file_that_is_not_what_was_written_is_a_miss_and_is_removed() {
    let data = DataFolder::new();
    let server = deployed(&data).await;
    plan(&server, "/a", json!({ "bytes": BYTES })).await;
    get(&server, "/a").await.ok();
    read(&server, "/a", PLAIN).await;
    press_out(&server).await;
    purge(&server, &[], &["press"], false).await;
    let [file] = &files(&data)[..] else {
        panic!("there is one file");
    };
    let mut bytes = fs::read(file).unwrap();
    bytes[BYTES / 2] ^= 1;
    fs::write(file, &bytes).unwrap();
    // If memory has it again by now, it is pressed out, and the file isn't written again while it is known.
    eventually("the function is asked", async || {
        let reply = get(&server, "/a").await;
        assert!(!is_read(&reply) && reply.bytes()[7..].iter().all(|byte| *byte == b'x'));
        if reply.header("x-call") == Some("2") {
            return Some(());
        }
        press_out(&server).await;
        None
    })
    .await;
    eventually("what was in its file is gone", async || {
        let is_there = fs::read(file).is_ok_and(|now| now == bytes);
        (!is_there).then_some(())
    })
    .await;
    assert!(server.node.log().contains("isn't what was written"));
}

#[tokio::test]
async fn disk_has_no_more_than_its_bound() {
    let data = DataFolder::new();
    let server = deployed(&data).await;
    for number in 0..120 {
        let path = format!("/{number}");
        plan(&server, &path, json!({ "bytes": BYTES })).await;
        get(&server, &path).await.ok();
        let usage = server.client().cache("cached").await.unwrap();
        assert!(usage.disk_bytes <= DISK_BYTES_OF_TENANT, "{usage:?}");
    }
    // One more than is counted may be there while it is written.
    let on_disk = || {
        let lengths = files(&data)
            .into_iter()
            .filter_map(|file| fs::metadata(file).ok());
        lengths.map(|file| file.len()).sum::<u64>()
    };
    assert!(on_disk() <= DISK_BYTES_OF_TENANT + 2 * BYTES as u64);
    let usage = server.client().cache("cached").await.unwrap();
    assert!(usage.disk_entries >= 40, "{usage:?}");
}
