//! What owners of apps do about kept answers: see how much there is, purge, deploy and go back, remove.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use everwarm_api::messages::{CachePurge, Quotas, Rollback, Scope};
use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::server::problem;
use everwarm_e2e::{DataFolder, NewApp, Reply, Request, Server};
use http::Method;
use serde_json::json;

const HOST: &str = "cached.example.com";

/// An app whose answers are kept for long. `number` makes it a version of its own.
fn app(name: &str, number: u32) -> NewApp {
    NewApp::new(name, "cached", &["/*"])
        .line("[function.cache]\ndefault_ttl = \"1h\"")
        .line("[function.grants]\nkv = [\"default\"]")
        .line(&format!("[function.env]\nNUMBER = \"{number}\""))
        .line("[function.limits]\ncpu_time = \"10s\"")
}

async fn call(server: &Server, path: &str) -> String {
    let reply = server.get(HOST, path).await;
    reply.header("x-call").unwrap().to_owned()
}

async fn put(server: &Server, path: &str, body: String) -> Reply {
    let request = Request::with_body(Method::PUT, path, body).header("host", HOST);
    server.node.send(request).await
}

fn purge(urls: &[&str], tags: &[&str]) -> CachePurge {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    CachePurge {
        urls: owned(urls),
        tags: owned(tags),
        all: false,
    }
}

const ALL: CachePurge = CachePurge {
    urls: Vec::new(),
    tags: Vec::new(),
    all: true,
};

#[tokio::test]
async fn answers_are_purged_by_url_by_tag_and_all() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    app("cached", 1).deploy(&client).await.unwrap();
    for (path, tags) in [("/a", "one, two"), ("/b", "two"), ("/c", "three")] {
        let plan = json!({ "headers": [["cache-tag", tags]] });
        put(&server, &format!("/plan?{path}"), plan.to_string())
            .await
            .ok();
        let reply = server.get(HOST, path).await;
        // The tags are the cache's alone, also where it is asked for the first time.
        assert_eq!(
            (reply.header("x-call"), reply.header("cache-tag")),
            (Some("1"), None)
        );
        assert_eq!(server.get(HOST, path).await.header("cache-tag"), None);
    }
    let calls = async || {
        let mut all = Vec::new();
        for path in ["/a", "/b", "/c"] {
            all.push(call(&server, path).await);
        }
        all.join(" ")
    };
    assert_eq!(calls().await, "1 1 1");
    let purged = async |what: CachePurge| client.purge_cache("cached", &what).await.unwrap().purged;
    assert_eq!(
        purged(purge(&["https://CACHED.example.com/a"], &[])).await,
        1
    );
    assert_eq!(calls().await, "2 1 1");
    assert_eq!(purged(purge(&[], &["two"])).await, 2);
    assert_eq!(calls().await, "3 2 1");
    assert_eq!(
        purged(purge(&["http://cached.example.com/a?b"], &["four"])).await,
        0
    );
    assert_eq!(calls().await, "3 2 1");
    assert_eq!(purged(ALL).await, 3);
    let usage = client.cache("cached").await.unwrap();
    assert_eq!((usage.entries, usage.bytes), (0, 0));
    assert_eq!(calls().await, "4 3 2");
    let usage = client.cache("cached").await.unwrap();
    assert!(
        usage.entries == 3 && usage.bytes > 0 && usage.hits >= 9,
        "{usage:?}"
    );
    assert_eq!(usage.misses, 9);
    let metrics = server.ask_admin(Request::get("/metrics").header(
        "authorization",
        &format!("Bearer {}", server.first_token().expose()),
    ));
    let metrics = metrics.await;
    let line = "everwarm_cache_entries{tenant=\"default\",app=\"cached\"} 3";
    assert!(metrics.text().contains(line), "{}", metrics.text());
    let audit = client.audit(false, None).await.unwrap();
    let in_audit = audit
        .items
        .iter()
        .filter(|entry| entry.action == "purge-cache");
    assert_eq!(in_audit.count(), 4);
}

#[tokio::test]
async fn purge_that_names_nothing_or_what_is_none_is_refused() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    app("cached", 1).deploy(&client).await.unwrap();
    let long = "x".repeat(129);
    for (what, says) in [
        (CachePurge::default(), "nothing is to be purged"),
        (purge(&["/a"], &[]), "is no URL such as"),
        (purge(&["ftp://a.example/"], &[]), "is no URL such as"),
        (purge(&[], &["a b"]), "is no tag"),
        (purge(&[], &[&long]), "is no tag"),
        (purge(&["https://a/"; 101], &[]), "at most 100"),
    ] {
        let problem = problem(client.purge_cache("cached", &what).await);
        assert!(problem.detail.contains(says), "{}", problem.detail);
    }
    assert_eq!(problem(client.purge_cache("other", &ALL).await).status, 404);
    assert_eq!(problem(client.cache("other").await).status, 404);
    // Another tenant's answers look as if there were none, and to read isn't to purge.
    let stranger = server
        .tenant("stranger", Quotas::default(), Scope::Deploy)
        .await;
    assert_eq!(
        problem(stranger.purge_cache("cached", &ALL).await).status,
        404
    );
    let reader = server.client_of("default", Scope::Read).await;
    assert!(reader.cache("cached").await.is_ok());
    assert_eq!(
        problem(reader.purge_cache("cached", &ALL).await).status,
        403
    );
}

#[tokio::test]
async fn versions_have_answers_of_their_own_and_a_purge_is_of_all_of_them() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    app("cached", 1).deploy(&client).await.unwrap();
    assert_eq!(call(&server, "/a").await, "1");
    app("cached", 2).deploy(&client).await.unwrap();
    assert_eq!(call(&server, "/a").await, "2");
    assert_eq!(call(&server, "/a").await, "2");
    // Who goes back finds what was kept.
    client
        .roll_back("cached", &Rollback::default())
        .await
        .unwrap();
    assert_eq!(call(&server, "/a").await, "1");
    let url = format!("http://{HOST}/a");
    let purged = client
        .purge_cache("cached", &purge(&[&url], &[]))
        .await
        .unwrap();
    assert_eq!(purged.purged, 2);
    assert_eq!(call(&server, "/a").await, "3");
    // An app that is gone leaves nothing, and one of its name begins with nothing.
    client.remove_app("cached").await.unwrap();
    app("cached", 1).deploy(&client).await.unwrap();
    assert_eq!(client.cache("cached").await.unwrap().entries, 0);
    assert_eq!(call(&server, "/a").await, "1");
    assert!(
        server
            .get(HOST, "/a")
            .await
            .header("cache-status")
            .unwrap()
            .contains("hit")
    );
}

#[tokio::test]
async fn answer_that_was_asked_for_before_a_purge_is_not_kept_after_it() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    app("cached", 1).deploy(&client).await.unwrap();
    for (path, what) in [
        ("/a", purge(&["http://cached.example.com/a"], &[])),
        ("/b", purge(&[], &["tag"])),
        ("/c", ALL),
    ] {
        let plan = json!({ "holds": true, "headers": [["cache-tag", "tag"]] });
        put(&server, &format!("/plan?{path}"), plan.to_string())
            .await
            .ok();
        let purged = async {
            let asked = async || {
                let calls = put(&server, &format!("/calls?{path}"), String::new()).await;
                (calls.text() == "1").then_some(())
            };
            everwarm_e2e::eventually("the function is asked", asked).await;
            client.purge_cache("cached", &what).await.unwrap();
            put(&server, &format!("/go?{path}"), String::new())
                .await
                .ok();
        };
        let (reply, ()) = tokio::join!(server.get(HOST, path), purged);
        let status = "everwarm; fwd=uri-miss; detail=purged";
        assert_eq!(reply.header("cache-status"), Some(status));
        assert_eq!(call(&server, path).await, "2");
    }
}

/// Runs `everwarm cache`.
async fn cache(server: &Server, args: &[&str]) -> Output {
    let mut command = everwarm_command();
    command
        .arg("cache")
        .args(args)
        .env("EVERWARM_NODE", server.admin())
        .env("EVERWARM_TOKEN", server.first_token().expose());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn answers_are_shown_and_purged_from_the_command_line() {
    let data = DataFolder::new();
    let server = data.start().await;
    app("cached", 1).deploy(&server.client()).await.unwrap();
    call(&server, "/a").await;
    call(&server, "/a").await;
    let said = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let shown = cache(&server, &["show", "cached"]).await;
    assert!(said(&shown).starts_with("1 answers are kept"), "{shown:?}");
    assert!(said(&shown).contains("1 requests were answered with them, 1 by functions"));
    let json = cache(&server, &["show", "cached", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&said(&json)).unwrap();
    assert_eq!(json["entries"], 1);
    let url = "http://cached.example.com/a";
    let purged = cache(&server, &["purge", "cached", "--url", url, "--tag", "x"]).await;
    assert_eq!(said(&purged), "1 answer is purged\n");
    let purged = cache(&server, &["purge", "cached", "--all"]).await;
    assert_eq!(said(&purged), "0 answers are purged\n");
    let nothing = cache(&server, &["purge", "cached"]).await;
    assert_eq!(nothing.status.code(), Some(2));
}
