//! Files that are served without a function: what is at which path, what heads say, what is compressed, which part is
//! sent, what a hostile bundle comes to, and that what was deployed is what is served.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;

use bytes::Bytes;
use everwarm_e2e::node::{Process, everwarm_command};
use everwarm_e2e::server::{digest, problem};
use everwarm_e2e::{DataFolder, Node, Reply, Request, Server, Site, within};
use http::Method;

const PUBLIC: &str = "path = \"public\"";
/// Larger than what is kept in memory, and no two pieces alike.
const LARGE_BYTES: usize = (2 << 20) + 777;

fn large() -> Bytes {
    let mut state = 1_u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    bytes.take(LARGE_BYTES).collect()
}

fn text() -> String {
    "some text that repeats itself, ".repeat(200)
}

fn site() -> Site {
    Site::new()
        .file("public/index.html", "<h1>home</h1>")
        .file("public/docs/index.html", "<h1>docs</h1>")
        .file("public/docs/a b.txt", "with a space")
        .file("public/style.css", "b{}")
        .file("public/assets/app.0123.js", text())
        .file("public/large.bin", large())
        .file("public/.well-known/security.txt", "well known")
        .file("public/.env", "SECRET=1")
        .assets("path = \"public\"\nimmutable = [\"assets/**\"]")
}

async fn up(site: &Site) -> (Node, everwarm_e2e::site::SiteFolder) {
    let folder = site.write();
    let node = folder.up(&["--no-watch"]).await;
    (node, folder)
}

fn page(path: &str) -> Request {
    Request::get(path).header("accept", "text/html,*/*;q=0.8")
}

fn has(reply: &Reply, fields: &[(&str, Option<&str>)]) {
    for (name, value) in fields {
        assert_eq!(reply.header(name), *value, "{name}: {reply:?}");
    }
}

#[tokio::test]
async fn files_are_at_their_paths_and_folders_lead_to_their_index() {
    let (node, _folder) = up(&site()).await;
    for mut connection in [node.connect().await, node.connect_http2().await] {
        for (path, content) in [
            ("/", "<h1>home</h1>"),
            ("/index.html", "<h1>home</h1>"),
            ("/docs/", "<h1>docs</h1>"),
            ("/docs/a%20b.txt", "with a space"),
            ("/style.css?v=1", "b{}"),
            ("/%73tyle.css", "b{}"),
            ("/.well-known/security.txt", "well known"),
        ] {
            assert_eq!(connection.get(path).await.ok(), content, "{path}");
        }
        let moved = connection.get("/docs?x=1&y=%20").await;
        assert_eq!(moved.status(), 308);
        has(&moved, &[("location", Some("/docs/?x=1&y=%20"))]);
        for path in [
            "/nothing",
            "/docs/nothing",
            "/style.css/",
            "/STYLE.css",
            "/.env",
            "/docs/index.html/",
        ] {
            connection.get(path).await.failed(404, "EW3025");
        }
    }
}

#[tokio::test]
async fn heads_say_type_length_and_how_long_to_keep() {
    let (node, _folder) = up(&site()).await;
    let css = node.get("/style.css").await;
    let tag = format!("\"{}\"", digest(b"b{}").trim_start_matches("sha256:"));
    has(
        &css,
        &[
            ("content-type", Some("text/css; charset=utf-8")),
            ("content-length", Some("3")),
            ("etag", Some(&tag)),
            ("cache-control", Some("public, max-age=0, must-revalidate")),
            ("x-content-type-options", Some("nosniff")),
            ("accept-ranges", Some("bytes")),
            ("vary", None),
            ("content-encoding", None),
        ],
    );
    assert_eq!(css.header("x-request-id").unwrap().len(), 16);
    let script = node.get("/assets/app.0123.js").await;
    has(
        &script,
        &[
            ("content-type", Some("text/javascript; charset=utf-8")),
            ("cache-control", Some("public, max-age=31536000, immutable")),
            ("vary", Some("accept-encoding")),
        ],
    );
    // HEAD says what GET does, of what is in memory and of what isn't.
    for path in ["/style.css", "/docs/", "/large.bin"] {
        let head = node.send(Request::new(Method::HEAD, path)).await;
        let get = node.get(path).await;
        assert_eq!((head.status(), head.bytes().len()), (get.status(), 0));
        for name in [
            "content-type",
            "content-length",
            "etag",
            "cache-control",
            "accept-ranges",
        ] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

fn decode(reply: &Reply) -> String {
    let (bytes, mut text) = (reply.bytes(), String::new());
    match reply.header("content-encoding") {
        None => return reply.text().to_owned(),
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        Some("br") => brotli::Decompressor::new(bytes, 4_096).read_to_string(&mut text),
        Some("zstd") => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_string(&mut text),
        Some(other) => panic!("{other} is no coding that we have"),
    }
    .unwrap();
    text
}

#[tokio::test]
async fn text_comes_compressed_with_a_tag_of_its_own_for_each_coding() {
    let (node, _folder) = up(&site()).await;
    let mut tags = std::collections::BTreeSet::new();
    for (accepts, expected) in [
        ("gzip", Some("gzip")),
        ("br", Some("br")),
        ("zstd", Some("zstd")),
        ("br;q=0.1, gzip;q=0.9, zstd;q=0.2", Some("gzip")),
        ("gzip;q=0", None),
        ("identity", None),
    ] {
        let request = Request::get("/assets/app.0123.js").header("accept-encoding", accepts);
        let reply = node.send(request).await;
        assert_eq!(reply.status(), 200);
        has(
            &reply,
            &[
                ("content-encoding", expected),
                ("vary", Some("accept-encoding")),
            ],
        );
        assert_eq!(decode(&reply), text(), "{accepts}");
        let length = reply.bytes().len().to_string();
        has(&reply, &[("content-length", Some(&length))]);
        tags.insert((expected, reply.header("etag").unwrap().to_owned()));
    }
    assert_eq!(tags.len(), 4, "{tags:?}");
    // What is small or of another kind is as it is.
    for path in ["/style.css", "/large.bin"] {
        let reply = node
            .send(Request::get(path).header("accept-encoding", "gzip, br"))
            .await;
        has(&reply, &[("content-encoding", None), ("vary", None)]);
    }
}

#[tokio::test]
async fn client_that_has_the_content_is_told_so() {
    let (node, _folder) = up(&site()).await;
    let mut connection = node.connect().await;
    let plain = connection.get("/assets/app.0123.js").await;
    let tag = plain.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let request = Request::get("/assets/app.0123.js").header("if-none-match", &known);
        let reply = connection.send(request).await;
        assert_eq!(
            (reply.status().as_u16(), reply.bytes().len()),
            (304, 0),
            "{known}"
        );
        has(
            &reply,
            &[
                ("etag", Some(&tag)),
                ("vary", Some("accept-encoding")),
                ("cache-control", Some("public, max-age=31536000, immutable")),
            ],
        );
    }
    // The tag of one coding is none of another's.
    let request = Request::get("/assets/app.0123.js").header("if-none-match", &tag);
    let reply = connection
        .send(request.header("accept-encoding", "br"))
        .await;
    assert_eq!(reply.status(), 200);
    assert_eq!(decode(&reply), text());
}

#[tokio::test]
async fn part_of_a_file_is_sent_where_one_is_asked_for() {
    let (node, _folder) = up(&site()).await;
    let large = large();
    let mut connection = node.connect().await;
    let whole = connection.get("/large.bin").await;
    assert!(whole.bytes() == large, "it is sent piece by piece");
    let tag = whole.header("etag").unwrap().to_owned();
    let last = LARGE_BYTES - 1;
    let piece = 256 << 10;
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 0),
        (
            format!("bytes={}-{}", piece - 3, piece + 3),
            piece - 3,
            piece + 3,
        ),
        (format!("bytes={}-", piece * 3), piece * 3, last),
        ("bytes=-5".to_owned(), last - 4, last),
        (format!("bytes=7-{}", u64::MAX), 7, last),
    ] {
        let reply = connection
            .send(Request::get("/large.bin").header("range", &range))
            .await;
        assert_eq!(reply.status(), 206, "{range}");
        assert!(reply.bytes() == &large[from..=to], "{range}");
        let told = format!("bytes {from}-{to}/{LARGE_BYTES}");
        let length = (to - from + 1).to_string();
        has(
            &reply,
            &[
                ("content-range", Some(&told)),
                ("content-length", Some(&length)),
                ("etag", Some(&tag)),
            ],
        );
    }
    let small = connection
        .send(Request::get("/style.css").header("range", "bytes=1-"))
        .await;
    assert_eq!((small.status().as_u16(), small.text()), (206, "{}"));
    let none = connection
        .send(Request::get("/style.css").header("range", "bytes=3-"))
        .await;
    assert_eq!(none.status(), 416);
    has(&none, &[("content-range", Some("bytes */3"))]);
    // Several parts, another content, and what is no range: the whole.
    for (name, value) in [
        ("range", "bytes=0-0,2-2"),
        ("range", "pages=1-2"),
        ("if-range", "\"other\""),
    ] {
        let request = Request::get("/style.css").header(name, value);
        let request = if name == "if-range" {
            request.header("range", "bytes=0-0")
        } else {
            request
        };
        let reply = connection.send(request).await;
        assert_eq!(
            (reply.status().as_u16(), reply.text()),
            (200, "b{}"),
            "{value}"
        );
    }
    let request = Request::get("/large.bin")
        .header("range", "bytes=0-0")
        .header("if-range", &tag);
    assert_eq!(connection.send(request).await.status(), 206);
}

#[tokio::test]
async fn tricks_with_paths_lead_to_nothing() {
    let (node, _folder) = up(&site()).await;
    let mut connection = node.connect().await;
    for path in [
        "/..%2feverwarm.toml",
        "/..%5ceverwarm.toml",
        "/docs%2findex.html",
        "/docs%2f..%2f..%2feverwarm.toml",
        "/docs%5Cindex.html",
        "//index.html",
        "//docs",
        "/docs//index.html",
        "/%ff",
        "/public/index.html",
    ] {
        connection.get(path).await.failed(404, "EW3025");
    }
    for path in [
        "/../everwarm.toml",
        "/docs/../../everwarm.toml",
        "/%2e%2e/everwarm.toml",
        "/style.css%00",
        "/./style.css",
    ] {
        connection.get(path).await.failed(404, "EW3001");
    }
}

#[tokio::test]
async fn page_without_a_file_is_the_fallback_for_whoever_wants_a_page() {
    let site = site()
        .assets("path = \"app\"\nat = \"/app\"\nfallback = \"main.html\"")
        .file("app/main.html", "<h1>app</h1>");
    let (node, _folder) = up(&site).await;
    let mut connection = node.connect().await;
    for path in ["/app/users/7", "/app", "/app/", "/app/x%2Fy"] {
        let reply = connection.send(page(path)).await;
        assert_eq!(reply.ok(), "<h1>app</h1>", "{path}");
        has(
            &reply,
            &[
                ("vary", Some("accept")),
                ("content-type", Some("text/html; charset=utf-8")),
                ("cache-control", Some("public, max-age=0, must-revalidate")),
            ],
        );
    }
    let head = Request::new(Method::HEAD, "/app/x").header("accept", "text/html");
    assert_eq!(connection.send(head).await.status(), 200);
    connection.get("/app/data.json").await.failed(404, "EW3025");
    let data = Request::get("/app/data.json").header("accept", "application/json");
    connection.send(data).await.failed(404, "EW3025");
    connection
        .send(page("/users/7"))
        .await
        .failed(404, "EW3025");
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let (node, _folder) = up(&site()).await;
    let mut connection = node.connect().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let reply = connection
            .send(Request::new(method.clone(), "/style.css"))
            .await;
        reply.failed(405, "EW3024");
        has(&reply, &[("allow", Some("GET, HEAD"))]);
        connection
            .send(Request::new(method, "/nothing"))
            .await
            .failed(404, "EW3025");
    }
    connection
        .send(Request::post("/style.css", "body"))
        .await
        .failed(405, "EW3024");
}

#[tokio::test]
async fn more_specific_function_wins_and_one_at_the_same_route_answers_what_no_file_does() {
    let site = site()
        .function("hello", "/docs/index.html")
        .function("echo", "/*");
    let (node, _folder) = up(&site).await;
    let mut connection = node.connect().await;
    assert_eq!(connection.get("/").await.ok(), "<h1>home</h1>");
    assert_eq!(connection.get("/docs/").await.ok(), "<h1>docs</h1>");
    assert!(
        connection
            .get("/docs/index.html")
            .await
            .ok()
            .starts_with("Hello")
    );
    assert!(connection.get("/head").await.ok().contains("GET"));
    // A file has no POST; a function may.
    let posted = connection
        .send(Request::post("/style.css", "to the function"))
        .await;
    assert_ne!(posted.status(), 405);
    assert_eq!(
        posted.header("everwarm-error"),
        None,
        "the function answered"
    );
}

#[tokio::test]
async fn fallback_comes_before_a_function_behind_it_for_pages_alone() {
    let site = Site::new()
        .file("public/index.html", "<h1>app</h1>")
        .assets("path = \"public\"\nfallback = \"index.html\"")
        .function("echo", "/*");
    let (node, _folder) = up(&site).await;
    assert_eq!(node.send(page("/head")).await.ok(), "<h1>app</h1>");
    assert!(node.get("/head").await.ok().contains("GET"));
}

#[tokio::test]
async fn requests_for_files_are_in_the_log_in_metrics_and_in_usage() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    site().deploy(&client).await.unwrap();
    let got = get(&server, "/large.bin").await;
    assert_eq!(got.bytes().len(), LARGE_BYTES);
    assert_eq!(get(&server, "/style.css?1").await.ok(), "b{}");
    get(&server, "/nothing").await.failed(404, "EW3025");
    let event = server.node.log().access("/large.bin").await;
    assert_eq!(event["start"], "asset");
    assert_eq!(
        (&event["app"], &event["function"]),
        (&"site".into(), &"assets".into())
    );
    assert_eq!(event["bytes_out"], LARGE_BYTES);
    let event = server.node.log().access("/nothing").await;
    assert_eq!(event["error"], "EW3025");
    let token = format!("Bearer {}", server.first_token().expose());
    let metrics = Request::get("/metrics").header("authorization", &token);
    let metrics = server.ask_admin(metrics).await;
    assert!(
        metrics.ok().contains("start=\"asset\",status=\"2xx\"} 2"),
        "{}",
        metrics.text()
    );
    // Told to the store when the node ends, at the latest.
    drop(server.node.stop(rustix::process::Signal::TERM).await);
    let server = data.start().await;
    let rows = server
        .client()
        .usage(false, None, None)
        .await
        .unwrap()
        .items;
    let of = |class: &str| {
        let rows = rows
            .iter()
            .filter(|row| row.start_level == "asset" && row.status == class);
        rows.fold((0, 0), |sum, row| {
            (sum.0 + row.requests, sum.1 + row.bytes_out)
        })
    };
    assert_eq!(of("2xx"), (2, LARGE_BYTES as u64 + 3), "{rows:?}");
    assert_eq!(of("4xx").0, 1);
}

async fn get(server: &Server, path: &str) -> Reply {
    server.get("site.example.com", path).await
}

#[tokio::test]
async fn quota_of_requests_holds_for_files_too() {
    let data = DataFolder::new();
    let server = data.start().await;
    let quotas = serde_json::json!({"requests_per_second": 1});
    let quotas = serde_json::from_value(quotas).unwrap();
    let client = server
        .tenant("ann", quotas, everwarm_api::messages::Scope::Deploy)
        .await;
    site().deploy(&client).await.unwrap();
    let mut connection = everwarm_e2e::Connection::http1(server.node.address()).await;
    let mut refused = None;
    for _ in 0..100 {
        let request = Request::get("/style.css").header("host", "site.example.com");
        let reply = connection.send(request).await;
        if reply.status() == 429 {
            refused = Some(reply);
            break;
        }
    }
    refused
        .expect("one a second is allowed")
        .failed(429, "EW3021");
}

#[tokio::test]
async fn rollback_serves_the_old_files_and_previews_serve_their_own() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let version = |text: &str| {
        Site::new()
            .file("public/a.txt", text.to_owned())
            .assets(PUBLIC)
    };
    let one = version("one").deploy(&client).await.unwrap();
    let two = version("two").deploy(&client).await.unwrap();
    assert_ne!(one.version.id, two.version.id);
    assert!(two.version.assets.is_some());
    assert_eq!(get(&server, "/a.txt").await.ok(), "two");
    let preview = format!("0{}--site.example.com", one.version.short);
    assert_eq!(server.get(&preview, "/a.txt").await.ok(), "one");
    client
        .roll_back("site", &everwarm_api::messages::Rollback::default())
        .await
        .unwrap();
    assert_eq!(get(&server, "/a.txt").await.ok(), "one");
    let again = version("one").deploy(&client).await.unwrap();
    assert_eq!(
        again.version.id, one.version.id,
        "the same files are the same version"
    );
}

#[tokio::test]
async fn canary_has_files_of_its_own() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let version = |text: &str| {
        Site::new()
            .file("public/a.txt", text.to_owned())
            .assets(PUBLIC)
    };
    version("one").deploy(&client).await.unwrap();
    let bundle = version("two").bundle();
    client
        .put_assets(&digest(&bundle), bundle.clone())
        .await
        .unwrap();
    let deploy = everwarm_api::messages::Deploy {
        manifest: version("two").manifest(),
        components: [].into(),
        assets: Some(digest(&bundle)),
        percent: Some(50),
        sticky_header: Some("x-user".to_owned()),
        health: Some(everwarm_api::messages::HealthCheck {
            path: "/a.txt".to_owned(),
        }),
    };
    client.deploy("site", &deploy, None).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..40 {
        let request = Request::get("/a.txt").header("host", "site.example.com");
        let reply = server
            .node
            .send(request.header("x-user", &user.to_string()))
            .await;
        seen.insert(reply.ok().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn hostile_bundles_are_refused_and_what_serves_goes_on() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let good = Site::new().file("public/a.txt", "good").assets(PUBLIC);
    good.deploy(&client).await.unwrap();
    let bundle = good.bundle();
    let renamed = |to: &[u8; 14]| {
        let mut bytes = bundle.to_vec();
        // `files/public/a.txt`: the path behind the folder, and the sum of the head anew.
        bytes[6..6 + 12].copy_from_slice(&to[..12]);
        let mut header = tar_head(&bytes);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        Bytes::from(bytes)
    };
    let link = {
        let mut bytes = bundle.to_vec();
        let mut header = tar_head(&bytes);
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_link_name("/etc/passwd").unwrap();
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        Bytes::from(bytes)
    };
    for (what, bytes, code, says) in [
        ("a way up", renamed(b"a/../../a.tx\0\0"), "EW2013", "`..`"),
        (
            "a backslash",
            renamed(b"public\\a.txt\0\0"),
            "EW2013",
            "backslash",
        ),
        (
            "an absolute path",
            renamed(b"/ublic/a.txt\0\0"),
            "EW2013",
            "`/`",
        ),
        (
            "no UTF-8",
            renamed(b"public/\xff.txt\0\0"),
            "EW2013",
            "UTF-8",
        ),
        ("a link", link, "EW2013", "a link"),
        ("half of it", bundle.slice(..700), "EW2013", "middle"),
        (
            "more than it",
            [&bundle[..], b"more"].concat().into(),
            "EW2013",
            "after its end",
        ),
        (
            "no archive",
            Bytes::from_static(&[7; 2_000]),
            "EW2013",
            "damaged",
        ),
        ("nothing", Bytes::new(), "EW2013", "middle"),
        (
            "another folder",
            Site::new().file("other/a.txt", "").bundle(),
            "EW2015",
            "public",
        ),
    ] {
        let problem = problem(good.deploy_with(&client, bytes).await);
        assert_eq!(
            (&*problem.code, problem.stage.as_deref()),
            (code, Some("verify")),
            "{what}: {problem:?}"
        );
        assert!(problem.detail.contains(says), "{what}: {}", problem.detail);
    }
    let no_bundle = problem(
        client
            .deploy(
                "site",
                &everwarm_api::messages::Deploy {
                    manifest: good.manifest(),
                    components: [].into(),
                    assets: None,
                    percent: None,
                    sticky_header: None,
                    health: None,
                },
                None,
            )
            .await,
    );
    assert_eq!(no_bundle.code, "EW2011");
    assert_eq!(get(&server, "/a.txt").await.ok(), "good");
}

fn tar_head(bytes: &[u8]) -> tar::Header {
    tar::Header::from_byte_slice(&bytes[..512]).clone()
}

#[tokio::test]
async fn files_are_served_after_a_kill_and_damaged_ones_never() {
    let data = DataFolder::new();
    let server = data.start().await;
    let site = site();
    site.deploy(&server.client()).await.unwrap();
    let server = server.kill_and_restart(&data).await;
    assert_eq!(get(&server, "/docs/").await.ok(), "<h1>docs</h1>");
    assert!(get(&server, "/large.bin").await.bytes() == large());

    // Where a file of it is, a byte is another one now. What was read stays right; what is read now is found out.
    let bundle = site.bundle();
    let name = digest(&bundle).trim_start_matches("sha256:").to_owned();
    let path = data
        .path()
        .join("artifacts/default")
        .join(&name[..2])
        .join(format!("{name}.wasm"));
    let mut bytes = std::fs::read(&path).unwrap();
    for content in ["b{}", "with a space"] {
        let at = bytes
            .windows(content.len())
            .position(|bytes| bytes == content.as_bytes())
            .unwrap();
        bytes[at] ^= 1;
    }
    let large = large();
    let end = &large[LARGE_BYTES - 64..];
    let at = bytes.windows(64).position(|bytes| bytes == end).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(get(&server, "/docs/").await.ok(), "<h1>docs</h1>");
    let problem = get(&server, "/style.css").await.failed(500, "EW3026");
    assert!(
        !problem.to_string().contains("artifacts"),
        "no path of the node is told: {problem}"
    );
    let broken = get(&server, "/large.bin").await;
    assert!(broken.is_broken(), "a part of it isn't taken for the whole");
    assert!(
        large.starts_with(broken.received()),
        "no wrong byte was sent"
    );

    // A node that starts with it serves none of it, and says so.
    let server = server.kill_and_restart(&data).await;
    get(&server, "/docs/").await.failed(500, "EW3026");
    server.node.log().line("deploy the app again").await;
    // The same bytes again mend it.
    server
        .client()
        .put_assets(&digest(&bundle), bundle)
        .await
        .unwrap();
    everwarm_e2e::eventually("the files are served again", async || {
        (get(&server, "/style.css").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn command_line_uploads_a_bundle_once() {
    let data = DataFolder::new();
    let server = data.start().await;
    let folder = site().write();
    for expected in ["1 uploaded", "0 uploaded"] {
        let mut command = everwarm_command();
        command
            .args(["deploy", "--node", server.admin()])
            .arg(folder.path());
        let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
        command.env("EVERWARM_TOKEN", token.trim());
        let mut process = Process::start(command);
        let status = process.ended().await;
        assert!(status.success(), "{status}\n{}", process.log);
        process.out.line(expected).await;
    }
    let reply = server
        .node
        .send(
            Request::get("/assets/app.0123.js")
                .header("host", "site.example.com")
                .header("accept-encoding", "br"),
        )
        .await;
    has(&reply, &[("content-encoding", Some("br"))]);
    assert_eq!(decode(&reply), text());
    get(&server, "/.env").await.failed(404, "EW3025");
}

#[tokio::test]
async fn edits_of_files_go_live_and_what_is_missing_harms_nothing() {
    let site = Site::new()
        .file("public/a.txt", "one")
        .assets("path = \"public\"\nfallback = \"a.txt\"");
    let folder = site.write();
    let node = folder.up(&[]).await;
    assert_eq!(node.get("/a.txt").await.ok(), "one");
    folder.edit("public/a.txt", "two");
    node.out()
        .value("the edit is live", |value| value["event"] == "live")
        .await;
    assert_eq!(node.get("/a.txt").await.ok(), "two");
    folder.edit("public/deep/er/b.txt", "new");
    within("the new file", async {
        while node.get("/deep/er/b.txt").await.status() != 200 {
            tokio::time::sleep(everwarm_e2e::deadline::LOOK_AGAIN).await;
        }
    })
    .await;
    std::fs::remove_file(folder.path().join("public/a.txt")).unwrap();
    let failed = node
        .out()
        .value("the failure", |value| value["event"] == "failed")
        .await;
    assert_eq!(failed["error"]["code"], "EW2015");
    assert_eq!(node.get("/a.txt").await.ok(), "two");
}

#[tokio::test]
async fn restored_node_serves_the_same_files() {
    let data = DataFolder::new();
    let server = data.start().await;
    site().deploy(&server.client()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("backup.tar");
    let mut command = everwarm_command();
    command
        .args(["backup", "--node", server.admin()])
        .arg(&archive);
    command.env(
        "EVERWARM_TOKEN",
        std::fs::read_to_string(data.path().join("admin.token"))
            .unwrap()
            .trim(),
    );
    let mut process = Process::start(command);
    assert!(process.ended().await.success(), "{}", process.log);
    let other = DataFolder::new();
    let mut command = everwarm_command();
    command
        .arg("restore")
        .arg(&archive)
        .arg("--data-dir")
        .arg(other.path());
    let mut process = Process::start(command);
    assert!(process.ended().await.success(), "{}", process.log);
    let node = Node::ready(other.command()).await;
    let ask = |path| Request::get(path).header("host", "site.example.com");
    assert_eq!(node.send(ask("/docs/")).await.ok(), "<h1>docs</h1>");
    assert!(node.send(ask("/large.bin")).await.bytes() == large());
}
