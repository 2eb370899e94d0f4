//! Functions that read the app's files: by the standard library and by `wasi:filesystem` itself, in both worlds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use everwarm_e2e::mounted::{DATA, LIMITS, app, ask, error, files, ok, post, read, sum_of, up};
use everwarm_e2e::{Node, Request, Site, World, both_worlds};
use serde_json::{Value, json};

both_worlds! {
    async fn standard_library_reads_files_whole_in_parts_and_as_they_are(world: World) {
        let (node, _folder) = up(&app(world)).await;
        for (path, text) in [
            ("/data/a.txt", "0123456789"),
            ("data/a.txt", "0123456789"),
            ("/data/./deep/../a.txt", "0123456789"),
            ("/data/empty", ""),
            ("/data/deep/er/b.txt", "deep"),
            ("/data/deep/caf\u{e9}.txt", "coffee"),
        ] {
            assert_eq!(ask(&node, read(path)).await, ok(text), "{path}");
        }
        for (start, len, text) in [
            (0, 3, "012"),
            (4, 3, "456"),
            (8, 100, "89"),
            (-2, 9, "89"),
            (10, 1, ""),
            (99, 1, ""),
        ] {
            let part = json!({ "op": "part", "path": "/data/a.txt", "start": start, "len": len });
            assert_eq!(ask(&node, part).await, ok(text), "{start}+{len}");
        }
        let large = Site::large();
        assert_eq!(
            ask(&node, json!({ "op": "sum", "path": "/data/large.bin" })).await,
            ok(sum_of(&large))
        );
        // Beyond the first piece, and across the border of two.
        for start in [300_000, 524_280] {
            let part =
                json!({ "op": "part", "path": "/data/large.bin", "start": start, "len": 16 });
            let expected = String::from_utf8_lossy(&large[start..start + 16]);
            assert_eq!(ask(&node, part).await, ok(expected.into_owned()), "{start}");
        }
        let stat = |path: &str| json!({ "op": "stat", "path": path });
        for (path, is_file, len) in [
            ("/data/a.txt", true, 10),
            ("/data/empty", true, 0),
            ("/data/large.bin", true, large.len()),
            ("/data", false, 0),
            ("/data/deep/", false, 0),
        ] {
            let known = ask(&node, stat(path)).await["ok"].clone();
            let expected = json!({ "is_file": is_file, "is_dir": !is_file, "is_symlink": false, "len": len, "modified": false });
            assert_eq!(known, expected, "{path}");
        }
        let list = |path: &str| json!({ "op": "list", "path": path });
        // What is hidden isn't packed.
        assert_eq!(
            ask(&node, list("/data")).await,
            ok(vec!["a.txt", "deep/", "empty", "large.bin"])
        );
        assert_eq!(
            ask(&node, list("/data/deep")).await,
            ok(vec!["caf\u{e9}.txt", "er/"])
        );
        for (asked, kind) in [
            (read("/data/nothing"), "NotFound"),
            (read("/data/nothing/at/all"), "NotFound"),
            (read("/data/.hidden"), "NotFound"),
            (read("/data/A.txt"), "NotFound"),
            (stat("/data/nothing"), "NotFound"),
            (list("/data/nothing"), "NotFound"),
            (list("/data/a.txt"), "NotADirectory"),
            (read("/data/a.txt/b"), "NotADirectory"),
            (read("/data/deep"), "IsADirectory"),
        ] {
            assert_eq!(ask(&node, asked.clone()).await, error(kind), "{asked}");
        }
    }

    async fn nothing_is_changed_whatever_a_function_tries(world: World) {
        let (node, folder) = up(&app(world)).await;
        let tried = ask(&node, json!({ "op": "change", "path": "/data/a.txt" })).await;
        let tried = tried["ok"].as_object().unwrap();
        assert_eq!(tried.len(), 10);
        for (what, came) in tried {
            assert_eq!(came, "ReadOnlyFilesystem", "{what}");
        }
        let known = ask(&node, json!({ "op": "interface", "path": "a.txt" })).await["ok"].clone();
        for (what, expected) in [
            ("write", "read-only"),
            ("write_stream", "read-only"),
            ("append_stream", "read-only"),
            ("set_size", "read-only"),
            ("set_times", "read-only"),
            ("symlink", "read-only"),
            ("unlink", "read-only"),
            ("read_link", "invalid"),
            ("read_folder", "is-directory"),
            ("list_file", "not-directory"),
            ("below_file", "not-directory"),
        ] {
            assert_eq!(known[what], expected, "{what}");
        }
        for (what, expected) in [
            ("flags", true),
            ("sync", true),
            ("advise", true),
            ("same", true),
            ("other", false),
            ("hash", true),
            ("other_hash", false),
            ("times", false),
            ("end", true),
            ("nothing", true),
            ("beyond", true),
        ] {
            assert_eq!(known[what], expected, "{what}");
        }
        assert_eq!(known["links"], 1);
        for (flag, expected) in [
            ("create", "read-only"),
            ("truncate", "read-only"),
            ("write", "read-only"),
            ("mutate", "read-only"),
            ("exclusive", "exist"),
            ("directory", "not-directory"),
        ] {
            let asked = json!({ "op": "open-with", "path": "a.txt", "flag": flag });
            assert!(
                ask(&node, asked).await["ok"]
                    .as_str()
                    .unwrap()
                    .ends_with(expected),
                "{flag}"
            );
        }
        assert_eq!(ask(&node, read("/data/a.txt")).await, ok("0123456789"));
        assert_eq!(
            std::fs::read(folder.path().join("data/a.txt")).unwrap(),
            b"0123456789"
        );
    }

    async fn no_path_leads_out_of_the_folder(world: World) {
        let (node, _folder) = up(&app(world)).await;
        for path in [
            "/secret.txt",
            "secret.txt",
            "/data/../secret.txt",
            "/data/deep/../../secret.txt",
            "/etc/passwd",
            "/data/../../../../../../etc/passwd",
            "/proc/self/environ",
            "/data\\a.txt",
            "",
        ] {
            let came = ask(&node, read(path)).await;
            assert!(came["error"].is_string(), "{path}: {came}");
        }
        let long = "a".repeat(300);
        let deep = "deep/../".repeat(10_000);
        // What the standard library makes of a path isn't in the way here.
        for (path, expected) in [
            (".", "Directory"),
            ("deep/..", "Directory"),
            ("deep/er/../../a.txt", "RegularFile"),
            ("deep/", "Directory"),
            ("", "no-entry"),
            ("..", "not-permitted"),
            ("../secret.txt", "not-permitted"),
            ("deep/../../secret.txt", "not-permitted"),
            ("../data/a.txt", "not-permitted"),
            ("/", "not-permitted"),
            ("/data/a.txt", "not-permitted"),
            ("/etc/passwd", "not-permitted"),
            ("a.txt/", "not-directory"),
            ("a.txt/..", "not-directory"),
            ("a.txt\0", "invalid"),
            ("nothing/../a.txt", "no-entry"),
            (&long, "name-too-long"),
            (&deep, "name-too-long"),
        ] {
            let came = ask(&node, json!({ "op": "open", "path": path })).await;
            let came = came["ok"].as_str().unwrap().to_owned();
            assert!(came.ends_with(expected), "{path:?}: {came}");
        }
    }

    async fn function_without_a_mount_sees_no_folder(world: World) {
        let site = app(world).function_with(
            "others",
            "files",
            world,
            "routes = [\"others.example.com/*\"]",
        );
        let (node, _folder) = up(&site).await;
        assert_eq!(
            ask(&node, json!({ "op": "folders" })).await,
            ok(vec!["/data"])
        );
        let others = async |asked: Value| {
            let reply = node
                .send(post(&asked).header("host", "others.example.com"))
                .await;
            reply.ok();
            reply.json()
        };
        assert_eq!(others(json!({ "op": "folders" })).await, ok(json!([])));
        for path in ["/data/a.txt", "data/a.txt", "/", "."] {
            assert!(others(read(path)).await["error"].is_string(), "{path}");
            assert!(
                others(json!({ "op": "list", "path": path })).await["error"].is_string(),
                "{path}"
            );
        }
        assert_eq!(
            others(json!({ "op": "open", "path": "a.txt" })).await,
            ok("bad-descriptor")
        );
    }

    async fn folders_are_where_the_manifest_says(world: World) {
        let mounts = "[[function.mounts]]\npath = \"data/deep\"\nat = \"/somewhere/else\"\n\
                      [[function.mounts]]\npath = \"data\"\nat = \"/all/\"";
        let (node, _folder) = up(&files().function_with("files", "files", world, mounts)).await;
        assert_eq!(
            ask(&node, json!({ "op": "folders" })).await,
            ok(vec!["/somewhere/else", "/all"])
        );
        assert_eq!(
            ask(&node, read("/somewhere/else/er/b.txt")).await,
            ok("deep")
        );
        assert_eq!(ask(&node, read("/all/deep/er/b.txt")).await, ok("deep"));
        // A folder doesn't lead to the one that it is in.
        assert!(ask(&node, read("/somewhere/else/../a.txt")).await["error"].is_string());
        let root = "[[function.mounts]]\npath = \"data\"\nat = \"/\"";
        let (node, _folder) = up(&files().function_with("files", "files", world, root)).await;
        assert_eq!(ask(&node, read("/a.txt")).await, ok("0123456789"));
        assert_eq!(
            ask(&node, json!({ "op": "list", "path": "/deep" })).await,
            ok(vec!["caf\u{e9}.txt", "er/"])
        );
    }

    async fn large_file_streams_and_takes_no_memory_but_what_the_node_keeps_of_files(world: World) {
        const LARGE: usize = 60 << 20;
        let large: Bytes = Site::large().iter().copied().cycle().take(LARGE).collect();
        let site = Site::new()
            .file("data/large.bin", large.clone())
            .function_with("files", "files", world, &format!("{LIMITS}\n{DATA}"));
        let (node, _folder) = up(&site).await;
        let streamed = json!({ "op": "stream", "path": "large.bin" });
        assert_eq!(ask(&node, streamed).await, ok(format!("{LARGE} bytes")));
        let before = node.process().memory_bytes();
        for _ in 0..2 {
            let mut connection = node.connect().await;
            let mut open = connection.open(Request::get("/data/large.bin")).await;
            let mut seen = 0;
            while let Some(chunk) = open.chunk().await.unwrap() {
                assert!(
                    chunk == large[seen..seen + chunk.len()],
                    "other bytes at {seen}"
                );
                seen += chunk.len();
            }
            assert_eq!(seen, LARGE);
        }
        let grown = node.process().memory_bytes().saturating_sub(before);
        // It is among the files that the node keeps since it was read first.
        assert!(grown < 32 << 20, "{grown}");
    }

    async fn files_that_are_open_at_once_are_bounded_and_no_trap(world: World) {
        let (node, _folder) = up(&app(world)).await;
        let hoard = json!({ "op": "hoard", "path": "/data/a.txt", "count": 20_000 });
        let hoarded = ask(&node, hoard).await["ok"].clone();
        let open = hoarded["open"].as_u64().unwrap();
        assert!((1_000..16_384).contains(&open), "{hoarded}");
        assert_eq!(hoarded["error"], "OutOfMemory");
        let begun = json!({ "op": "hoard", "path": "/data/a.txt", "count": 20_000, "begin": true });
        let begun = ask(&node, begun).await["ok"].clone();
        let open = begun["open"].as_u64().unwrap();
        // Each has a stream, in a table that is the same for all of WASI.
        assert!((1_000..=15_360).contains(&open), "{begun}");
        assert_eq!(begun["error"], "OutOfMemory");
        // Others have room of their own.
        assert_eq!(ask(&node, read("/data/a.txt")).await, ok("0123456789"));
    }

    async fn instances_that_are_kept_and_guests_that_compute_read_too(world: World) {
        let isolations: &[&str] = match world {
            World::Wasi02 => &["request", "serial"],
            World::Wasi03 => &["request", "serial", "concurrent"],
        };
        for isolation in isolations {
            let lines = format!("isolation = {isolation:?}\n{LIMITS}\n{DATA}");
            let (node, _folder) = up(&files().function_with("files", "files", world, &lines)).await;
            let large = Site::large();
            let asked = async |ms: u64| {
                let work = json!({ "op": "work-and-sum", "path": "/data/large.bin", "ms": ms });
                ask(&node, work).await
            };
            // Work of that length leaves the data plane.
            let came = futures_util::future::join_all([0, 20, 0, 20, 1].map(asked)).await;
            assert_eq!(came, vec![ok(sum_of(&large)); 5], "{isolation}");
            let came = ask(&node, read("/data/a.txt")).await;
            assert_eq!(came, ok("0123456789"), "{isolation}");
        }
    }
}

/// What comes of a request to the guest that knows the interface of 0.3 alone.
async fn ask03(node: &Node, path: &str) -> Value {
    let reply = node.get(path).await;
    reply.ok();
    reply.json()
}

#[tokio::test]
async fn interface_of_0_3_reads_lists_and_refuses() {
    let lines = format!("{LIMITS}\n{DATA}");
    let (node, _folder) =
        up(&files().function_with("files", "files03", World::Wasi03, &lines)).await;
    for (path, expected) in [
        ("/folders", ok(1)),
        ("/open?", error("NoEntry")),
        ("/open?.", ok("folder")),
        ("/open?a.txt", ok("file")),
        ("/open?../secret.txt", error("NotPermitted")),
        ("/open?/etc/passwd", error("NotPermitted")),
        ("/open?nothing", error("NoEntry")),
        ("/open?a.txt/b", error("NotDirectory")),
        ("/read?a.txt", ok("0123456789")),
        ("/read?empty", ok("")),
        ("/read?deep/er/b.txt", ok("deep")),
        ("/read?deep", error("IsDirectory")),
        ("/part?a.txt", ok("3456789")),
        ("/part?empty", ok("")),
        ("/begin?large.bin", ok(10)),
        (
            "/list?.",
            ok(vec![
                "file a.txt",
                "folder deep",
                "file empty",
                "file large.bin",
            ]),
        ),
        ("/list?a.txt", error("NotDirectory")),
    ] {
        assert_eq!(ask03(&node, path).await, expected, "{path}");
    }
    let facts = json!({
        "size": 10, "links": 1, "same_stat": true, "times": false, "flags": true, "advise": true, "sync": true,
        "same": true, "other": false, "hash": true, "read_link": "Invalid", "read_folder": "IsDirectory",
        "list_file": "NotDirectory",
    });
    assert_eq!(ask03(&node, "/facts?a.txt").await, ok(facts));
    let tried = ask03(&node, "/change?a.txt").await["ok"].clone();
    let tried = tried.as_array().unwrap();
    assert_eq!(tried.len(), 15);
    for (at, came) in tried.iter().enumerate() {
        let came = came.as_str().unwrap();
        // What was to be written is left where it was.
        let expected = if at < 2 { "ReadOnly 1" } else { "ReadOnly" };
        assert_eq!(came, expected, "{at}");
    }
    for _ in 0..2 {
        let streamed = node.get("/stream?large.bin").await;
        assert!(streamed.bytes() == Site::large());
    }
    assert_eq!(node.get("/stream?empty").await.ok(), "");
}

#[tokio::test]
async fn folder_with_many_names_is_listed_whole() {
    let mut site = Site::new();
    let names: Vec<String> = (0..1_000).map(|number| format!("{number:04}")).collect();
    for name in &names {
        site = site.file(&format!("data/{name}"), name.clone());
    }
    let lines = format!("{LIMITS}\n{DATA}");
    let site = site
        .function_with(
            "files",
            "files",
            World::Wasi02,
            &format!("routes = [\"/*\"]\n{lines}"),
        )
        .function_with(
            "files03",
            "files03",
            World::Wasi03,
            &format!("routes = [\"/list\"]\n{lines}"),
        );
    let (node, _folder) = up(&site).await;
    let listed = ask(&node, json!({ "op": "list", "path": "/data" })).await;
    assert_eq!(listed, ok(names.clone()));
    let names: Vec<String> = names.iter().map(|name| format!("file {name}")).collect();
    assert_eq!(ask03(&node, "/list?.").await, ok(names));
}
