//! The cache in front of functions: what is kept, for how long, for whom, and what makes it go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::kept::{FRESH, call, calls, fields, plan, said, start};
use everwarm_e2e::{Request, World, both_worlds, eventually};
use http::{Method, StatusCode};
use serde_json::json;

both_worlds! {
    async fn fresh_answers_are_given_without_asking_the_function(world: World) {
        let node = start(world, "").await;
        fields(&node, "/a", &[("cache-control", "max-age=600, public"), ("age", "5")]).await;
        let first = node.get("/a").await;
        assert_eq!((first.text(), said(&first)), ("call 1\n", "everwarm; fwd=uri-miss; stored"));
        let second = node.get("/a").await;
        assert_eq!((second.text(), call(&second)), ("call 1\n", "1"));
        assert!(said(&second).starts_with("everwarm; hit; ttl=59"), "{}", said(&second));
        let age: u32 = second.header("age").unwrap().parse().unwrap();
        assert!((5..300).contains(&age), "{age}");
        assert!(second.header("date").is_some());
        let event = node.log().value("the access event", |event| event["start"] == "cache").await;
        assert_eq!((&event["status"], &event["function"]), (&json!(200), &json!("cached")));

        // To HEAD is said what GET would get; another query is another answer.
        let head = node.send(Request::new(Method::HEAD, "/a")).await;
        assert_eq!((head.header("content-length"), call(&head)), (Some("7"), "1"));
        assert!(said(&head).contains("hit"));
        assert_eq!(node.get("/a?b").await.text(), "call 2\n");
        assert_eq!(calls(&node, "/a").await, 2);
    }

    async fn answers_that_forbid_it_or_do_not_say_are_not_kept(world: World) {
        let node = start(world, "").await;
        for (path, headers, reason) in [
            ("/unsaid", vec![], "no-ttl"),
            ("/no-store", vec![("cache-control", "max-age=600, no-store")], "no-store"),
            ("/private", vec![("cache-control", "max-age=600, private")], "private"),
            ("/cookie", vec![("cache-control", FRESH), ("set-cookie", "a=b")], "set-cookie"),
            ("/vary", vec![("cache-control", FRESH), ("vary", "user-agent")], "vary"),
            ("/star", vec![("cache-control", FRESH), ("vary", "*")], "vary"),
        ] {
            fields(&node, path, &headers).await;
            for expected in ["1", "2"] {
                let reply = node.get(path).await;
                let status = format!("everwarm; fwd=uri-miss; detail={reason}");
                assert_eq!((call(&reply), said(&reply)), (expected, status.as_str()), "{path}");
            }
        }
    }

    async fn stale_answers_are_asked_after_and_are_fresh_again(world: World) {
        let node = start(world, "").await;
        let stale = [("cache-control", "max-age=60"), ("age", "100"), ("etag", "\"a\"")];
        fields(&node, "/a", &stale).await;
        assert_eq!(node.get("/a").await.text(), "call 1\n");
        fields(&node, "/a", &[("cache-control", FRESH), ("etag", "\"a\""), ("x-new", "yes")]).await;
        let asked = node.get("/a").await;
        assert_eq!(asked.status(), StatusCode::OK);
        assert_eq!((asked.text(), call(&asked)), ("call 1\n", "2"));
        assert_eq!(said(&asked), "everwarm; fwd=stale; fwd-status=304; stored");
        let again = node.get("/a").await;
        assert_eq!((again.text(), again.header("x-new")), ("call 1\n", Some("yes")));
        assert!(said(&again).contains("hit"));
        // What has changed is another answer.
        fields(&node, "/b", &stale).await;
        node.get("/b").await.ok();
        fields(&node, "/b", &[("cache-control", FRESH), ("etag", "\"b\"")]).await;
        assert_eq!(node.get("/b").await.text(), "call 2\n");
        assert_eq!(node.get("/b").await.text(), "call 2\n");
    }

    async fn stale_answer_is_used_while_it_is_asked_for_anew(world: World) {
        let node = start(world, "").await;
        let control = "max-age=60, stale-while-revalidate=600";
        fields(&node, "/a", &[("cache-control", control), ("age", "100")]).await;
        node.get("/a").await.ok();
        fields(&node, "/a", &[("cache-control", FRESH)]).await;
        let stale = node.get("/a").await;
        assert_eq!(call(&stale), "1");
        assert!(said(&stale).starts_with("everwarm; hit; ttl=-4"), "{}", said(&stale));
        eventually("the new answer is there", async || (call(&node.get("/a").await) == "2").then_some(())).await;
        assert_eq!(calls(&node, "/a").await, 2);
    }

    async fn stale_answer_stands_in_for_errors_where_that_is_allowed(world: World) {
        let node = start(world, "").await;
        let control = "max-age=60, stale-if-error=600";
        for (path, control) in [("/a", control), ("/b", "max-age=60")] {
            let headers = [("cache-control", control), ("age", "100"), ("etag", "\"a\"")];
            fields(&node, path, &headers).await;
            node.get(path).await.ok();
        }
        for broken in [json!({ "status": 503 }), json!({ "traps": true })] {
            plan(&node, "/a", broken.clone()).await;
            plan(&node, "/b", broken).await;
            let stale = node.get("/a").await;
            assert_eq!((stale.status(), stale.text()), (StatusCode::OK, "call 1\n"));
            assert!(said(&stale).contains("; fwd-status=50"), "{}", said(&stale));
            assert!(node.get("/b").await.status().is_server_error());
        }
    }
}

#[tokio::test]
async fn manifest_says_how_long_what_does_not_say_is_kept() {
    let node = start(World::Wasi02, "default_ttl = \"10m\", set_cookie = true").await;
    for _ in 0..2 {
        assert_eq!(node.get("/a").await.text(), "call 1\n");
    }
    fields(&node, "/cookie", &[("set-cookie", "a=b")]).await;
    for _ in 0..2 {
        let reply = node.get("/cookie").await;
        assert_eq!(
            (call(&reply), reply.header("set-cookie")),
            ("1", Some("a=b"))
        );
    }
    // What says so itself is right, and errors need a word of their own.
    fields(&node, "/b", &[("cache-control", "no-store")]).await;
    plan(&node, "/c", json!({ "status": 500 })).await;
    for path in ["/b", "/c"] {
        node.get(path).await;
        assert_eq!(call(&node.get(path).await), "2", "{path}");
    }
}

#[tokio::test]
async fn clients_get_parts_and_hear_that_they_have_it_already() {
    let node = start(World::Wasi02, "").await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let headers = [
        ("cache-control", FRESH),
        ("etag", "\"a\""),
        ("last-modified", date),
    ];
    fields(&node, "/a", &headers).await;
    let ask =
        async |name: &str, value: &str| node.send(Request::get("/a").header(name, value)).await;
    // Also whoever asks first: the function isn't told what he has. If its answer streams, he gets it all the same.
    let first = ask("if-none-match", "\"a\"").await;
    let whole = (StatusCode::OK, "call 1\n");
    assert!([whole, (StatusCode::NOT_MODIFIED, "")].contains(&(first.status(), first.text())));
    for _ in 0..2 {
        let known = ask("if-none-match", "\"x\", W/\"a\"").await;
        assert_eq!(
            (known.status(), known.text()),
            (StatusCode::NOT_MODIFIED, "")
        );
        assert_eq!(known.header("etag"), Some("\"a\""));
        assert_eq!(known.header("content-type"), None);
    }
    assert_eq!(
        ask("if-modified-since", date).await.status(),
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(ask("if-none-match", "\"b\"").await.text(), "call 1\n");
    // Who has any has one without a tag too.
    fields(&node, "/untagged", &[("cache-control", FRESH)]).await;
    node.get("/untagged").await.ok();
    let any = Request::get("/untagged").header("if-none-match", "*");
    assert_eq!(node.send(any).await.status(), StatusCode::NOT_MODIFIED);
    let part = ask("range", "bytes=5-5").await;
    assert_eq!(
        (part.status(), part.text()),
        (StatusCode::PARTIAL_CONTENT, "1")
    );
    assert_eq!(part.header("content-range"), Some("bytes 5-5/7"));
    let beyond = ask("range", "bytes=7-").await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(calls(&node, "/a").await, 1);
}

#[tokio::test]
async fn requests_say_what_they_want_of_the_cache() {
    let node = start(World::Wasi02, "").await;
    fields(&node, "/a", &[("cache-control", FRESH), ("age", "50")]).await;
    let ask = async |control: &str| {
        let request = Request::get("/a").header("cache-control", control);
        node.send(request).await
    };
    let missing = ask("only-if-cached").await;
    assert_eq!(missing.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(missing.header("everwarm-error"), Some("EW3027"));
    assert_eq!(call(&ask("max-age=100").await), "1");
    assert_eq!(call(&ask("only-if-cached").await), "1");
    let newer = ask("no-cache").await;
    assert_eq!(
        (call(&newer), said(&newer)),
        ("2", "everwarm; fwd=request; stored")
    );
    assert_eq!(call(&ask("max-age=100").await), "2");
    assert_eq!(call(&ask("max-age=10").await), "3");
    assert_eq!(call(&ask("min-fresh=590").await), "4");
    let passed = ask("no-store").await;
    assert_eq!(
        (call(&passed), said(&passed)),
        ("5", "everwarm; fwd=bypass; detail=no-store")
    );
    assert_eq!(call(&node.get("/a").await), "4");
}

#[tokio::test]
async fn unsafe_methods_make_what_is_kept_untrue() {
    let node = start(World::Wasi02, "").await;
    for path in ["/a", "/b", "/c"] {
        fields(&node, path, &[("cache-control", FRESH)]).await;
        node.get(path).await.ok();
    }
    // A failure changes nothing, and a safe method doesn't.
    plan(&node, "/c", json!({ "status": 400 })).await;
    node.send(Request::post("/c", "x")).await;
    node.send(Request::new(Method::OPTIONS, "/b")).await;
    assert_eq!(call(&node.get("/c").await), "1");
    assert_eq!(call(&node.get("/b").await), "1");
    let headers = [("cache-control", FRESH), ("location", "/b")];
    fields(&node, "/a", &headers).await;
    let changed = node.send(Request::post("/a", "x")).await;
    assert_eq!(said(&changed), "everwarm; fwd=method");
    assert_eq!(call(&node.get("/a").await), "3");
    assert_eq!(call(&node.get("/b").await), "3");
}

#[tokio::test]
async fn requests_at_once_ask_the_function_once() {
    let node = start(World::Wasi02, "").await;
    plan(
        &node,
        "/a",
        json!({ "headers": [["cache-control", FRESH]], "holds": true }),
    )
    .await;
    let asked = async || node.get("/a").await;
    let go = async {
        eventually("the function is asked", async || {
            (calls(&node, "/a").await == 1).then_some(())
        })
        .await;
        // As long as some answers of others take: they would be asked meanwhile.
        for _ in 0..10 {
            assert_eq!(calls(&node, "/a").await, 1);
        }
        node.send(Request::new(Method::PUT, "/go?/a")).await.ok();
    };
    let (replies, ()) = tokio::join!(futures_util::future::join_all((0..20).map(|_| asked())), go);
    for reply in &replies {
        assert_eq!(reply.text(), "call 1\n");
    }
    assert!(
        replies
            .iter()
            .any(|reply| said(reply).contains("collapsed"))
    );
    assert_eq!(calls(&node, "/a").await, 1);
}

#[tokio::test]
async fn who_waits_asks_himself_when_the_first_one_leaves_or_its_answer_is_not_kept() {
    let node = start(World::Wasi02, "").await;
    plan(
        &node,
        "/a",
        json!({ "headers": [["cache-control", FRESH]], "holds": true }),
    )
    .await;
    let mut first = node.connect().await;
    let first = tokio::spawn(async move { first.send(Request::get("/a")).await.status() });
    eventually("the function is asked", async || {
        (calls(&node, "/a").await == 1).then_some(())
    })
    .await;
    let go = async {
        first.abort();
        eventually("somebody else asks", async || {
            (calls(&node, "/a").await == 2).then_some(())
        })
        .await;
        node.send(Request::new(Method::PUT, "/go?/a")).await.ok();
    };
    let (reply, ()) = tokio::join!(node.get("/a"), go);
    assert_eq!(reply.text(), "call 2\n");

    plan(
        &node,
        "/b",
        json!({ "headers": [["cache-control", "no-store"]], "holds": true }),
    )
    .await;
    let go = async {
        eventually("the function is asked", async || {
            (calls(&node, "/b").await >= 1).then_some(())
        })
        .await;
        node.send(Request::new(Method::PUT, "/go?/b")).await.ok();
    };
    let replies = futures_util::future::join_all((0..5).map(|_| node.get("/b")));
    let (replies, ()) = tokio::join!(replies, go);
    let mut calls: Vec<_> = replies.iter().map(call).collect();
    calls.sort_unstable();
    assert_eq!(calls, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn those_who_wait_for_an_answer_that_fails_ask_at_once_and_not_one_after_the_other() {
    let node = start(World::Wasi02, "").await;
    let headers = [["cache-control", FRESH]];
    for (path, fails) in [
        ("/traps", json!({ "traps": true })),
        (
            "/breaks",
            json!({ "headers": headers, "bytes": 100_000, "breaks": true }),
        ),
    ] {
        let mut planned = fails;
        planned["holds"] = json!(true);
        plan(&node, path, planned).await;
        let asked = async |count: u32| {
            eventually("the function is asked", async || {
                (calls(&node, path).await == count).then_some(())
            })
            .await;
        };
        let go = async {
            asked(1).await;
            let first = Request::with_body(Method::PUT, &format!("/go?{path}"), "1");
            node.send(first).await.ok();
            // All others are in the function at the same time: none has been answered.
            asked(5).await;
            node.send(Request::new(Method::PUT, &format!("/go?{path}")))
                .await
                .ok();
        };
        let replies = futures_util::future::join_all((0..5).map(|_| node.get(path)));
        let (replies, ()) = tokio::join!(replies, go);
        for reply in &replies {
            assert!(
                reply.status().is_server_error() || reply.is_broken(),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn answers_say_how_they_started_once_whether_they_are_kept_or_were_or_are_fresh_again() {
    let node = start(World::Wasi02, "").await;
    let stale = [
        ("cache-control", "max-age=60"),
        ("age", "100"),
        ("etag", "\"a\""),
    ];
    fields(&node, "/a", &stale).await;
    let timing = async |status: &str| {
        let reply = node.get("/a").await;
        assert!(said(&reply).contains(status), "{}", said(&reply));
        let all = reply.headers().get_all("server-timing").iter();
        let all: Vec<_> = all
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    };
    let asked = |timing: &str| timing.contains("\"warm\"") || timing.contains("\"disk\"");
    assert!(asked(&timing("fwd=uri-miss; stored").await));
    fields(&node, "/a", &[("cache-control", FRESH), ("etag", "\"a\"")]).await;
    assert!(asked(&timing("fwd=stale; fwd-status=304; stored").await));
    assert!(timing("hit").await.contains("\"cache\""));
}

#[tokio::test]
async fn what_broke_off_or_is_too_large_is_not_kept_and_what_streams_is() {
    let node = start(World::Wasi02, "").await;
    let kept = json!({ "headers": [["cache-control", FRESH]], "bytes": 1 << 20 });
    plan(&node, "/whole", kept).await;
    let whole = node.get("/whole").await;
    assert_eq!(whole.bytes().len(), (1 << 20) + "call 1\n".len());
    let again = node.get("/whole").await;
    assert!(said(&again).contains("hit") && again.bytes() == whole.bytes());
    let large = json!({ "headers": [["cache-control", FRESH]], "bytes": 5 << 20 });
    plan(&node, "/large", large).await;
    for expected in ["1", "2"] {
        let reply = node.get("/large").await;
        assert_eq!(call(&reply), expected);
        assert!(reply.bytes().len() > 5 << 20);
    }
    let broken = json!({ "headers": [["cache-control", FRESH]], "bytes": 100_000, "breaks": true });
    plan(&node, "/broken", broken).await;
    for expected in ["1", "2"] {
        let reply = node.get("/broken").await;
        assert_eq!(call(&reply), expected);
        assert!(reply.is_broken());
    }
}

#[tokio::test]
async fn kept_answers_are_compressed_for_clients_that_take_it() {
    let node = start(World::Wasi02, "").await;
    let headers = [["cache-control", FRESH], ["content-type", "text/plain"]];
    plan(&node, "/a", json!({ "headers": headers, "bytes": 4_000 })).await;
    let plain = node.get("/a").await;
    let gzip = Request::get("/a").header("accept-encoding", "gzip");
    let packed = node.send(gzip).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(said(&packed).contains("hit") && packed.bytes().len() < plain.bytes().len());
    let again = node.get("/a").await;
    assert_eq!(
        (again.header("content-encoding"), again.bytes()),
        (None, plain.bytes())
    );
    for reply in [&packed, &again] {
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
    }
}
