//! For whom answers are kept, and that nobody's request decides what others get.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::kept::{FRESH, call, fields, plan, said, start};
use everwarm_e2e::{Request, World};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn requests_with_credentials_or_cookies_are_none_of_the_caches() {
    let node = start(World::Wasi02, "").await;
    plan(
        &node,
        "/a",
        json!({ "headers": [["cache-control", FRESH]], "seen": true }),
    )
    .await;
    for (number, name) in ["authorization", "cookie"].into_iter().enumerate() {
        for step in 1..=2 {
            let reply = node.send(Request::get("/a").header(name, "mine")).await;
            assert_eq!(call(&reply), (2 * number + step).to_string());
            assert!(
                reply.text().contains(&format!("{name}: mine")),
                "{}",
                reply.text()
            );
            assert_eq!(said(&reply), format!("everwarm; fwd=bypass; detail={name}"));
        }
    }
    // Nothing of it was kept.
    assert_eq!(call(&node.get("/a").await), "5");
}

#[tokio::test]
async fn callers_that_are_allowed_to_use_the_cache_have_answers_of_their_own() {
    let node = start(World::Wasi02, "authorization = true, ignore_cookies = true").await;
    let planned = json!({ "headers": [["cache-control", "max-age=600, public"]], "seen": true });
    plan(&node, "/a", planned).await;
    fields(&node, "/b", &[("cache-control", FRESH)]).await;
    let ask = async |path: &str, who: &str| {
        let request = Request::get(path).header("authorization", who);
        node.send(request.header("cookie", who)).await
    };
    for (who, expected) in [("one", "1"), ("two", "2"), ("one", "1"), ("two", "2")] {
        let reply = ask("/a", who).await;
        assert_eq!(call(&reply), expected);
        assert!(reply.text().contains(&format!("authorization: {who}\n")));
        assert!(!reply.text().contains("cookie"));
    }
    // Who has none gets none of theirs.
    assert_eq!(call(&node.get("/a").await), "3");
    // It doesn't say that it may be kept.
    for expected in ["1", "2"] {
        let reply = ask("/b", "one").await;
        assert_eq!(call(&reply), expected);
        assert!(said(&reply).ends_with("detail=authorization"));
    }
}

#[tokio::test]
async fn listed_fields_are_seen_and_keep_answers_apart() {
    let node = start(World::Wasi02, "vary = [\"Accept-Language\"]").await;
    let headers = [["cache-control", FRESH], ["vary", "accept-language"]];
    plan(&node, "/a", json!({ "headers": headers, "seen": true })).await;
    let ask = async |language: &str| {
        let request = Request::get("/a").header("accept-language", language);
        node.send(request.header("accept", "text/plain")).await
    };
    for (language, expected) in [("de", "1"), ("en", "2"), ("de", "1"), ("en", "2")] {
        let reply = ask(language).await;
        assert_eq!(call(&reply), expected);
        assert!(
            reply
                .text()
                .contains(&format!("accept-language: {language}\n"))
        );
        assert!(!reply.text().contains("accept:"), "{}", reply.text());
    }
    assert_eq!(call(&node.get("/a").await), "3");
}

/// Fields by which strangers have had others get what they wanted, and ways to say a request so that two readers understand
/// it in two ways.
const POISON: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "cf-connecting-ip",
    "client-ip",
    "content-type",
    "everwarm-internal",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "origin",
    "proxy-host",
    "referer",
    "true-client-ip",
    "user-agent",
    "traceparent",
    "tracestate",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-wap-profile",
];

#[tokio::test]
async fn unkeyed_fields_reach_neither_the_function_nor_what_others_get() {
    let node = start(World::Wasi02, "default_ttl = \"10m\"").await;
    for name in POISON {
        let path = format!("/{name}");
        plan(&node, &path, json!({ "seen": true })).await;
        let poisoned = node.send(Request::get(&path).header(name, "poison")).await;
        assert!(
            said(&poisoned).ends_with("stored"),
            "{name}: {}",
            said(&poisoned)
        );
        assert!(
            !poisoned.text().contains("poison"),
            "{name}: {}",
            poisoned.text()
        );
        let others = node.get(&path).await;
        assert_eq!(
            (others.text(), call(&others)),
            (poisoned.text(), "1"),
            "{name}"
        );
    }
    // Nor does the trace that a client names.
    plan(&node, "/trace", json!({ "seen": true })).await;
    let traced = Request::get("/trace").header(
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    let traced = node.send(traced.header("tracestate", "poison=1")).await;
    let seen = traced.text();
    assert!(
        !seen.contains("4bf92f35") && !seen.contains("poison"),
        "{seen}"
    );
    // The function sees who asks of no request that may be answered for others.
    plan(&node, "/who", json!({ "seen": true })).await;
    let who = node.get("/who").await;
    let seen = who.text();
    assert!(!seen.contains("x-forwarded-for"), "{seen}");
}

#[tokio::test]
async fn requests_that_are_odd_get_answers_of_their_own_or_none_that_is_kept() {
    let node = start(World::Wasi02, "default_ttl = \"10m\"").await;
    plan(&node, "/a", json!({ "seen": true })).await;
    let honest = node.get("/a").await;
    // A body, a method override, a state that is asked for, an empty query: none is the plain request.
    for odd in [
        Request::with_body(Method::GET, "/a", "poison"),
        Request::get("/a").header("if-match", "\"poison\""),
        Request::get("/a?"),
        Request::get("//a"),
        Request::get("/a/"),
        Request::get("/%61"),
        Request::get("/a;x"),
    ] {
        let reply = node.send(odd).await;
        assert!(!said(&reply).contains("hit"), "{}", said(&reply));
    }
    let again = node.get("/a").await;
    assert_eq!((again.text(), call(&again)), (honest.text(), "1"));
    // However its URL is written, it is the same request, also to the function.
    let address = node.address();
    let absolute =
        Request::get(&format!("http://{address}/a")).header("host", &address.to_string());
    assert_eq!(node.send(absolute).await.text(), honest.text());
    let mut http2 = node.connect_http2().await;
    assert_eq!(http2.send(Request::get("/a")).await.text(), honest.text());
    plan(&node, "/b", json!({ "seen": true })).await;
    let first = http2.send(Request::get("/b")).await;
    let without_id = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("x-request-id") && !line.starts_with("traceparent"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let seen = without_id(first.text()).replace("/b", "/a");
    assert_eq!(seen, without_id(honest.text()));
    // Hosts that differ have answers that differ; one that differs in case alone is the same, also to the function.
    for (host, is_hit) in [
        ("A.EXAMPLE", false),
        ("a.example", true),
        ("b.example", false),
    ] {
        let reply = node.send(Request::get("/a").header("host", host)).await;
        assert_eq!(said(&reply).contains("hit"), is_hit, "{host}");
        assert!(!reply.text().contains("A.EXAMPLE"));
    }
    assert!(!again.text().contains("example"));
}
