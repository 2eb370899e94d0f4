//! Functions that keep blobs: `everwarm:blobs` by the SDK, and the standard's `wasi:blobstore` by its own bindings, in both
//! worlds, in files and in a bucket of an S3 server. How that server fails is in `bucket`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use everwarm_e2e::app::AppFolder;
use everwarm_e2e::asked::noticed;
use everwarm_e2e::blobs::{DECLARED, deploy, files};
use everwarm_e2e::{App, DataFolder, Node, Reply, Request, S3, World, eventually};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Where the blobs of a story are.
struct Place {
    world: World,
    /// In files when `None`.
    s3: Option<S3>,
}

impl Place {
    fn files(world: World) -> Self {
        Self { world, s3: None }
    }

    async fn bucket(world: World) -> Self {
        let s3 = Some(S3::start().await);
        Self { world, s3 }
    }

    fn app_of(&self, guest: &str) -> App {
        match &self.s3 {
            Some(s3) => self.plain(guest).flags(s3.flags()),
            None => self.plain(guest),
        }
    }

    /// The app, whose node isn't told where blobs are.
    fn plain(&self, guest: &str) -> App {
        // What a megabyte costs in a debug build isn't what these tests are about.
        App::new(guest, self.world)
            .limit("cpu_time", "30s")
            .limit("wall_time", "1m")
            .limit("memory", "16MiB")
            .limit("request_body", "1GiB")
            .limit("response_body", "unlimited")
            .grant("blobs = [\"photos\", \"videos\"]")
            .table(DECLARED)
    }

    fn app(&self) -> App {
        self.app_of("blobs")
    }

    /// The files of all blobs, and of what isn't one yet or any more.
    fn kept(&self, folder: &AppFolder) -> Vec<PathBuf> {
        match &self.s3 {
            Some(s3) => s3.objects(),
            None => files(&folder.data().join("blobs")),
        }
    }
}

/// Runs each test for WASI 0.2 and for WASI 0.3, and with blobs in files and in a bucket.
macro_rules! everywhere {
    ($(async fn $name:ident($place:ident: Place) $body:block)+) => {
        $(
            mod $name {
                #[allow(unused_imports, reason = "a test may need nothing from its file")]
                use super::*;

                async fn story($place: Place) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_02_in_files() {
                    story(Place::files(World::Wasi02)).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_03_in_files() {
                    story(Place::files(World::Wasi03)).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_02_in_a_bucket() {
                    story(Place::bucket(World::Wasi02).await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_03_in_a_bucket() {
                    story(Place::bucket(World::Wasi03).await).await;
                }
            }
        )+
    };
}

fn post(ask: &Value) -> Request {
    Request::post("/", ask.to_string()).header("content-type", "application/json")
}

/// What came of it.
async fn ask(node: &Node, ask: Value) -> Value {
    let reply = node.send(post(&ask)).await;
    reply.ok();
    reply.json()
}

/// What the guest was told.
async fn refused(node: &Node, asked: Value) -> String {
    let answer = ask(node, asked).await;
    let error = answer["error"].as_str();
    error.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn ok(value: impl Into<Value>) -> Value {
    json!({ "ok": value.into() })
}

fn put(path: &str, bytes: &[u8]) -> Request {
    Request::with_body(Method::PUT, path, bytes.to_vec())
}

async fn part(node: &Node, path: &str, start: usize, len: usize) -> Reply {
    let part = format!("{start}+{len}");
    node.send(Request::get(path).header("x-part", &part)).await
}

/// Bytes of which no two pieces are the same.
fn bytes(count: usize) -> Vec<u8> {
    (0..count.div_ceil(8) as u64)
        .flat_map(u64::to_le_bytes)
        .take(count)
        .collect()
}

/// Streams 50 MiB to a path and back, and says by how much the node has grown by then.
async fn there_and_back(node: &Node, path: &str) {
    const PIECES: usize = 50;
    let piece = bytes(1 << 20);
    let before = node.process().memory_bytes();
    let (request, body) = put_stream(path);
    let mut connection = node.connect().await;
    let sending = async {
        for _ in 0..PIECES {
            body.send(piece.clone()).await.unwrap();
        }
        drop(body);
    };
    let (opened, ()) = tokio::join!(connection.open(request), sending);
    let reply = opened.read().await;
    reply.ok();
    let mut connection = node.connect().await;
    let mut open = connection.open(Request::get(path)).await;
    let (mut seen, mut place) = (0, 0);
    while let Some(chunk) = open.chunk().await.unwrap() {
        for byte_run in chunk.chunks(64 << 10) {
            let mut run = byte_run;
            while !run.is_empty() {
                let len = run.len().min(piece.len() - place);
                assert!(
                    run[..len] == piece[place..place + len],
                    "other bytes at {seen}"
                );
                place = (place + len) % piece.len();
                seen += len;
                run = &run[len..];
            }
        }
    }
    assert_eq!(seen, PIECES << 20);
    let grown = node.process().memory_bytes().saturating_sub(before);
    assert!(grown < 40 << 20, "the node has grown by {grown} bytes");
}

fn put_stream(path: &str) -> (Request, everwarm_e2e::client::BodySender) {
    Request::stream_with(Method::PUT, path)
}

/// As `everywhere`, in a bucket alone.
macro_rules! everywhere_in_a_bucket {
    ($(async fn $name:ident($place:ident: Place) $body:block)+) => {
        $(
            mod $name {
                #[allow(unused_imports, reason = "a test may need nothing from its file")]
                use super::*;

                async fn story($place: Place) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_02() {
                    story(Place::bucket(World::Wasi02).await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_03() {
                    story(Place::bucket(World::Wasi03).await).await;
                }
            }
        )+
    };
}

mod bucket;

everywhere! {
    async fn what_one_request_writes_another_one_reads(place: Place) {
        let node = place.app().start().await;
        assert_eq!(node.get("/photos/a").await.status(), 404);
        let written = node.send(put("/photos/a", b"hello").header("content-type", "text/x")).await;
        let info = written.json()["ok"].clone();
        assert_eq!((&info["size"], &info["content_type"]), (&json!(5), &json!("text/x")));
        let read = node.get("/photos/a").await;
        assert_eq!(read.ok(), "hello");
        assert_eq!(read.header("content-type"), Some("text/x"));
        assert_eq!(read.header("content-length"), Some("5"));
        let etag = format!("\"{}\"", info["etag"].as_str().unwrap());
        assert_eq!(read.header("etag"), Some(&etag[..]));
        assert_eq!(ask(&node, json!({ "op": "head", "name": "a" })).await, ok(info));
        // Another container has an `a` of its own, or none.
        let other = json!({ "op": "head", "name": "a", "container": "videos" });
        assert_eq!(ask(&node, other).await, ok(Value::Null));
        assert_eq!(ask(&node, json!({ "op": "delete", "name": "a" })).await, ok(true));
        assert_eq!(ask(&node, json!({ "op": "get", "name": "a" })).await, ok(Value::Null));
    }

    async fn fifty_mebibytes_stream_both_ways_in_bounded_memory(place: Place) {
        let node = place.app().start().await;
        there_and_back(&node, "/photos/large").await;
    }

    async fn standard_streams_fifty_mebibytes_both_ways_in_bounded_memory(place: Place) {
        let node = place.app_of("blobstore").start().await;
        there_and_back(&node, "/large").await;
    }

    async fn standard_has_all_its_interfaces(place: Place) {
        let node = place.app_of("blobstore").start().await;
        assert_eq!(node.send(Request::post("/all", "")).await.ok(), "ok");
        noticed(&node, "declare it in [[blobs]] and add \"others\" to `blobs`").await;
    }

    async fn parts_are_read_alone(place: Place) {
        let node = place.app().start().await;
        let all = bytes(1 << 20);
        node.send(put("/photos/a", &all)).await.ok();
        for (start, len) in [(0, 1), (7, 100), (262_140, 10), ((1 << 20) - 3, 10), (1 << 20, 1)] {
            let read = part(&node, "/photos/a", start, len).await;
            assert!(read.bytes() == &all[start..all.len().min(start + len)], "{start}+{len}");
        }
        let beyond = part(&node, "/photos/a", (1 << 20) + 1, 1).await;
        let error = beyond.json()["error"].to_string();
        assert!(error.contains("1048576 bytes"), "{error}");
    }

    async fn one_of_many_that_write_under_a_condition_wins(place: Place) {
        let node = place.app().start().await;
        let race = async |name: &'static str, value: String| {
            let writes = (0..12).map(|number: u32| {
                let write = put("/photos/a", number.to_string().as_bytes()).header(name, &value);
                node.send(write)
            });
            let replies = futures_util::future::join_all(writes).await;
            let answers: Vec<Value> = replies.iter().map(Reply::json).collect();
            let won = answers.iter().filter(|answer| answer["error"].is_null());
            let won: Vec<_> = won.collect();
            assert_eq!(won.len(), 1, "{answers:?}");
            let lost = answers.iter().filter(|answer| answer["error"] == "changed");
            assert_eq!(lost.count(), 11, "{answers:?}");
            let head = ask(&node, json!({ "op": "head", "name": "a" })).await;
            assert_eq!(head, *won[0]);
            head["ok"]["etag"].as_str().unwrap().to_owned()
        };
        let first = race("if-none-match", "*".to_owned()).await;
        // Whoever writes the same bytes again changes nothing, so the next ones are others.
        node.send(put("/photos/a", b"first").header("if-match", &first)).await.ok();
        let head = ask(&node, json!({ "op": "head", "name": "a" })).await;
        race("if-match", head["ok"]["etag"].as_str().unwrap().to_owned()).await;
    }

    async fn names_are_texts_and_no_paths(place: Place) {
        let folder = place.app().write();
        let node = folder.start().await;
        let names = ["..", "../../a", "/", "//a", "a/", ".", "%2e%2e/", "a b", "\u{10ffff}", "A", "a"];
        for name in names {
            let put = json!({ "op": "put", "name": name, "text": name });
            assert_eq!(ask(&node, put).await["ok"]["size"], name.len(), "{name}");
        }
        for name in names {
            assert_eq!(ask(&node, json!({ "op": "get", "name": name })).await, ok(name));
        }
        let mut sorted = names;
        sorted.sort_unstable();
        let list = json!({ "op": "list", "prefix": "", "count_max": 100 });
        let listed = ask(&node, list).await;
        assert_eq!(listed["ok"], json!({ "names": sorted, "cursor": null }));
        let mut page = json!({ "op": "list", "prefix": "a", "count_max": 1 });
        let mut seen = Vec::new();
        loop {
            let listed = ask(&node, page.clone()).await;
            seen.extend(listed["ok"]["names"].as_array().unwrap().clone());
            page["cursor"] = listed["ok"]["cursor"].clone();
            if page["cursor"].is_null() {
                break;
            }
        }
        assert_eq!(json!(seen), json!(["a", "a b", "a/"]));
        for name in ["", "a\u{0}", "a\nb", &"x".repeat(1_025)] {
            let put = json!({ "op": "put", "name": name, "text": "" });
            assert!(refused(&node, put).await.contains("1 to 1024 bytes"), "{name}");
        }
    }

    async fn container_that_is_not_granted_is_not_opened_and_the_log_names_the_grant(place: Place) {
        let app = App::new("blobs", place.world).grant("blobs = [\"videos\"]").table(DECLARED);
        let node = app.start().await;
        let open = |container: &str| json!({ "op": "open", "container": container });
        assert_eq!(ask(&node, open("videos")).await, ok(Value::Null));
        assert_eq!(refused(&node, open("photos")).await, "access-denied");
        noticed(&node, "add \"photos\" to `blobs` in [function.grants] of the function `blobs`").await;
        for name in ["", "Photos", "../photos"] {
            assert_eq!(refused(&node, open(name)).await, "no-such-container");
        }
    }

    async fn blobs_are_copied_and_renamed_between_containers(place: Place) {
        let node = place.app().start().await;
        ask(&node, json!({ "op": "put", "name": "a", "text": "hello" })).await;
        let copy = json!({ "op": "copy", "name": "a", "to": "videos", "to_name": "b" });
        assert_eq!(ask(&node, copy).await, ok(true));
        let rename = json!({ "op": "rename", "name": "a", "to": "videos", "to_name": "c" });
        assert_eq!(ask(&node, rename.clone()).await, ok(true));
        assert_eq!(ask(&node, rename).await, ok(false));
        let list = json!({ "op": "list", "prefix": "", "count_max": 9, "container": "videos" });
        assert_eq!(ask(&node, list).await["ok"]["names"], json!(["b", "c"]));
    }

    async fn blob_that_is_begun_and_not_finished_leaves_nothing(place: Place) {
        let folder = place.app().write();
        let node = folder.start().await;
        let trap = json!({ "op": "write-and-trap", "name": "a" });
        node.send(post(&trap)).await.failed(500, "EW3002");
        assert_eq!(ask(&node, json!({ "op": "head", "name": "a" })).await, ok(Value::Null));
        // As many as an app may begin, and no more; what ends makes room.
        assert_eq!(ask(&node, json!({ "op": "hoard", "count": 32 })).await, ok(32));
        let many = refused(&node, json!({ "op": "hoard", "count": 33 })).await;
        assert!(many.contains("32 is the most"), "{many}");
        eventually("no file is left", async || {
            place.kept(&folder).is_empty().then_some(())
        })
        .await;
        let put = json!({ "op": "put", "name": "a", "text": "x" });
        assert_eq!(ask(&node, put).await["ok"]["size"], 1);
    }

    async fn client_that_leaves_in_the_middle_leaves_the_old_blob(place: Place) {
        let node = place.app().start().await;
        ask(&node, json!({ "op": "put", "name": "a", "text": "old" })).await;
        let mut raw = node.connect_raw().await;
        let head = "PUT /photos/a HTTP/1.1\r\nhost: app\r\ncontent-length: 2000000\r\n\r\n";
        raw.write(head).await;
        raw.write(vec![b'x'; 1_000_000]).await;
        drop(raw);
        assert_eq!(ask(&node, json!({ "op": "get", "name": "a" })).await, ok("old"));
        eventually("the request is over", async || {
            let many = ask(&node, json!({ "op": "hoard", "count": 32 })).await;
            (many == ok(32)).then_some(())
        })
        .await;
        assert_eq!(ask(&node, json!({ "op": "get", "name": "a" })).await, ok("old"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_is_killed_while_blobs_are_written_has_whole_ones_alone() {
    killed_while_blobs_are_written(Place::files(World::Wasi02)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_is_killed_while_objects_are_written_has_whole_ones_alone() {
    killed_while_blobs_are_written(Place::bucket(World::Wasi02).await).await;
}

async fn killed_while_blobs_are_written(place: Place) {
    let folder = place.app().write();
    let mut node = folder.start().await;
    let old = bytes(3 << 20);
    node.send(put("/photos/a", &old)).await.ok();
    for round in 0..4_usize {
        let mut raw = node.connect_raw().await;
        let head = "PUT /photos/a HTTP/1.1\r\nhost: app\r\ncontent-length: 19000000\r\n\r\n";
        raw.write(head).await;
        raw.write(vec![b'x'; 9_000_000 + round * 500_000]).await;
        let written = async || {
            let is_there = match &place.s3 {
                Some(s3) => s3.parts() > round,
                None => place.kept(&folder).len() > 1 + round,
            };
            is_there.then_some(())
        };
        eventually("half a blob is there", written).await;
        let acknowledged = format!("/videos/{round}");
        node.send(put(&acknowledged, &old)).await.ok();
        drop(node.stop(Signal::KILL).await);
        node = folder.start().await;
        assert!(node.get("/photos/a").await.bytes() == old, "round {round}");
        assert!(
            node.get(&acknowledged).await.bytes() == old,
            "round {round}"
        );
        // What the process left that was killed is swept by the one that comes after it.
        eventually("the half is gone", async || {
            (place.kept(&folder).len() == 2 + round).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_an_apps_own_and_go_with_it() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let ask = async |host: &str, ask: Value| {
        let reply = server.node.send(post(&ask).header("host", host)).await;
        reply.ok();
        reply.json()
    };
    for name in ["one", "two"] {
        deploy(&client, name).await;
        let put = json!({ "op": "put", "name": "a", "text": name });
        ask(&format!("{name}.example.com"), put).await;
    }
    let get = json!({ "op": "get", "name": "a" });
    assert_eq!(ask("one.example.com", get.clone()).await, ok("one"));
    assert_eq!(files(&data.path().join("blobs")).len(), 2);
    let token = format!("Bearer {}", server.first_token().expose());
    let metrics = Request::get("/metrics").header("authorization", &token);
    let metrics = server.ask_admin(metrics).await;
    let metrics = metrics.ok();
    let of_one = "everwarm_blob_bytes{tenant=\"default\",app=\"one\"} 3";
    assert!(metrics.contains(of_one), "{metrics}");
    client.remove_app("one").await.unwrap();
    deploy(&client, "one").await;
    assert_eq!(ask("one.example.com", get.clone()).await, ok(Value::Null));
    assert_eq!(ask("two.example.com", get).await, ok("two"));
}
