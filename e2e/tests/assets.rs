//! Requests for files, which no function answers: what is at which path, what heads say, what is compressed, which part is
//! sent, and what functions answer beside them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::server::digest;
use everwarm_e2e::site::{LARGE_BYTES, SiteFolder, decoded};
use everwarm_e2e::{Node, Reply, Request, Site, within};
use http::Method;

async fn up(site: &Site) -> (Node, SiteFolder) {
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
    let (node, _folder) = up(&Site::sample()).await;
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
    let (node, _folder) = up(&Site::sample()).await;
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

#[tokio::test]
async fn text_comes_compressed_with_a_tag_of_its_own_for_each_coding() {
    let (node, _folder) = up(&Site::sample()).await;
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
        assert_eq!(decoded(&reply), Site::text(), "{accepts}");
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
    let (node, _folder) = up(&Site::sample()).await;
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
    assert_eq!(decoded(&reply), Site::text());
}

#[tokio::test]
async fn part_of_a_file_is_sent_where_one_is_asked_for() {
    let (node, _folder) = up(&Site::sample()).await;
    let large = Site::large();
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
    let beyond = connection
        .send(Request::get("/style.css").header("range", "bytes=3-"))
        .await;
    assert_eq!(beyond.status(), 416);
    has(&beyond, &[("content-range", Some("bytes */3"))]);
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
    let (node, _folder) = up(&Site::sample()).await;
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
    let site = Site::sample()
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
    let (node, _folder) = up(&Site::sample()).await;
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
    let site = Site::sample()
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
