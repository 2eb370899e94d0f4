//! Files that functions read, in versions of an app: deployed, gone back to, edited, refused where they aren't there, an error
//! where the disk has other bytes, and nobody's over HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use everwarm_api::messages::LogQuery;
use everwarm_e2e::mounted::{DATA, HOST, LIMITS, app, ask, ask_at, files, ok, post, read, up};
use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::server::{digest, problem};
use everwarm_e2e::{Connection, DataFolder, Request, Server, Site, World, both_worlds, eventually};
use serde_json::{Value, json};

/// Waits until the function's log says what to do about a file of the app, and the node's which one on its disk that is.
async fn unreadable(server: &Server, file: &str) {
    let damaged = |value: &Value| {
        let fields = &value["fields"];
        fields["file"] == file
            && fields["error"]
                .as_str()
                .is_some_and(|it| it.contains(".wasm"))
    };
    server.node.log().value(file, damaged).await;
    let told = format!("couldn't read `{file}` of the app");
    eventually("the function's log says it", async || {
        let page = server.client().logs("site", &LogQuery::default()).await;
        let says = |text: &str| text.contains(&told) && text.contains("deploy the app again");
        page.unwrap()
            .items
            .iter()
            .any(|line| says(&line.text))
            .then_some(())
    })
    .await;
}

both_worlds! {
    async fn damaged_file_is_an_error_for_the_guest_and_a_line_in_the_logs(world: World) {
        let data = DataFolder::new();
        let server = data.start().await;
        let site = app(world);
        site.deploy(&server.client()).await.unwrap();
        let name = digest(&site.bundle())
            .trim_start_matches("sha256:")
            .to_owned();
        let path = data
            .path()
            .join("artifacts/default")
            .join(&name[..2])
            .join(format!("{name}.wasm"));
        let whole = std::fs::read(&path).unwrap();
        // The index is read with the first file, and the bytes of the others when they are asked for.
        assert_eq!(
            ask_at(&server, HOST, read("/data/a.txt")).await,
            ok("0123456789")
        );
        let mut damaged = whole.clone();
        for content in [&b"deep"[..], &Site::large()[1 << 20..(1 << 20) + 64]] {
            let find = |bytes: &[u8]| {
                bytes
                    .windows(content.len())
                    .rposition(|bytes| bytes == content)
            };
            let at = find(&damaged).unwrap();
            damaged[at] ^= 1;
        }
        std::fs::write(&path, &damaged).unwrap();
        assert!(ask_at(&server, HOST, read("/data/deep/er/b.txt")).await["error"].is_string());
        let streamed = json!({ "op": "stream", "path": "large.bin" });
        let came = ask_at(&server, HOST, streamed).await["ok"].clone();
        assert!(came.as_str().unwrap().eq("io"), "{came}");
        assert_eq!(
            ask_at(&server, HOST, read("/data/a.txt")).await,
            ok("0123456789")
        );
        // A response that is on its way is broken off, and no wrong byte is in it.
        let mut connection = Connection::http1(server.node.address()).await;
        let reply = connection
            .send(Request::get("/data/large.bin").header("host", HOST))
            .await;
        assert!(reply.is_broken());
        assert!(Site::large().starts_with(reply.received()));
        unreadable(&server, "data/deep/er/b.txt").await;
        unreadable(&server, "data/large.bin").await;
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(
            ask_at(&server, HOST, read("/data/deep/er/b.txt")).await,
            ok("deep")
        );
        // With an index that can't be read there is nothing at all, and it goes on when it can.
        std::fs::write(&path, &damaged).unwrap();
        let server = server.kill_and_restart(&data).await;
        assert!(ask_at(&server, HOST, read("/data/a.txt")).await["error"].is_string());
        unreadable(&server, "data").await;
        std::fs::write(&path, &whole).unwrap();
        eventually("the files are read again", async || {
            (ask_at(&server, HOST, read("/data/a.txt")).await == ok("0123456789")).then_some(())
        })
        .await;
    }

    async fn files_change_with_the_version_and_old_requests_see_the_old_ones(world: World) {
        let data = DataFolder::new();
        let server = data.start().await;
        let client = server.client();
        let large = |byte: u8| Bytes::from(vec![byte; 20 << 20]);
        let version = |text: &str| {
            let lines = format!("{LIMITS}\n{DATA}");
            Site::new()
                .file("data/a.txt", text.to_owned())
                .file("data/large.bin", large(text.as_bytes()[0]))
                .function_with("files", "files", world, &lines)
        };
        let one = version("one").deploy(&client).await.unwrap();
        assert_eq!(ask_at(&server, HOST, read("/data/a.txt")).await, ok("one"));
        let mut connection = Connection::http1(server.node.address()).await;
        let request = Request::get("/data/large.bin").header("host", HOST);
        let mut open = connection.open(request).await;
        let mut old = open.chunk().await.unwrap().unwrap().to_vec();
        let two = version("two").deploy(&client).await.unwrap();
        assert_ne!(one.version.id, two.version.id);
        assert_eq!(ask_at(&server, HOST, read("/data/a.txt")).await, ok("two"));
        while let Some(chunk) = open.chunk().await.unwrap() {
            old.extend_from_slice(&chunk);
        }
        assert!(old == large(b'o'), "its request began with the old version");
        let preview = format!("0{}--{HOST}", one.version.short);
        assert_eq!(
            ask_at(&server, &preview, read("/data/a.txt")).await,
            ok("one")
        );
        client
            .roll_back("site", &everwarm_api::messages::Rollback::default())
            .await
            .unwrap();
        assert_eq!(ask_at(&server, HOST, read("/data/a.txt")).await, ok("one"));
        let server = server.kill_and_restart(&data).await;
        assert_eq!(ask_at(&server, HOST, read("/data/a.txt")).await, ok("one"));
    }
}

#[tokio::test]
async fn what_functions_read_is_served_only_where_it_is_an_asset_too() {
    let lines = format!("routes = [\"api.example.com/*\"]\n{DATA}");
    let site = files()
        .function_with("files", "files", World::Wasi02, &lines)
        .file("public/index.html", "<h1>home</h1>")
        .assets("path = \"public\"\nat = \"files.example.com/\"\nfallback = \"index.html\"")
        .function_with(
            "pages",
            "files",
            World::Wasi02,
            "routes = [\"pages.example.com/*\"]\n[[function.mounts]]\npath = \"public\"",
        );
    let (node, _folder) = up(&site).await;
    let get = async |path: &str| {
        let request = Request::get(path).header("host", "files.example.com");
        node.send(request).await
    };
    assert_eq!(get("/index.html").await.ok(), "<h1>home</h1>");
    let both = post(&read("/public/index.html")).header("host", "pages.example.com");
    assert_eq!(node.send(both).await.json(), ok("<h1>home</h1>"));
    for path in [
        "/data/a.txt",
        "/a.txt",
        "/../data/a.txt",
        "/%2e%2e/data/a.txt",
        "/public/../data/a.txt",
        "/deep/er/b.txt",
    ] {
        let reply = get(path).await;
        assert!(!reply.text().contains("0123456789"), "{path}: {reply:?}");
        assert_ne!(reply.text(), "deep", "{path}");
    }
}

#[tokio::test]
async fn edit_of_a_file_goes_live_while_it_is_watched() {
    let folder = app(World::Wasi02).write();
    let node = folder.up(&[]).await;
    assert_eq!(ask(&node, read("/data/a.txt")).await, ok("0123456789"));
    folder.edit("data/a.txt", "edited");
    node.out()
        .value("the edit is live", |value| value["event"] == "live")
        .await;
    assert_eq!(ask(&node, read("/data/a.txt")).await, ok("edited"));
    folder.edit("data/deep/new.txt", "new");
    eventually("the new file", async || {
        (ask(&node, read("/data/deep/new.txt")).await == ok("new")).then_some(())
    })
    .await;
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let failed = node
        .out()
        .value("the failure", |value| value["event"] == "failed")
        .await;
    assert_eq!(failed["error"]["code"], "EW2015");
    assert_eq!(ask(&node, read("/data/a.txt")).await, ok("edited"));
}

#[tokio::test]
async fn bundles_without_what_is_mounted_or_with_more_are_refused() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let site = app(World::Wasi02);
    let other = Site::new().file("other/a.txt", "x").bundle();
    assert_eq!(
        problem(site.deploy_with(&client, other).await).code,
        "EW2015"
    );
    let more = app(World::Wasi02).file("more.txt", "in no folder of the manifest");
    assert_eq!(problem(more.deploy(&client).await).code, "EW2013");
    site.deploy(&client).await.unwrap();
}

#[tokio::test]
async fn folder_that_is_not_there_is_told_before_anything_is_built() {
    let folder = app(World::Wasi02).write();
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let output = everwarm_command()
        .arg("build")
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("EW2015") && said.contains("[[function.mounts]]"),
        "{said}"
    );
}
