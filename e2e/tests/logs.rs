//! What functions print and what becomes of requests, read on a node by those who may.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_api::messages::{LogLine, LogQuery, Quotas, Scope};
use everwarm_e2e::asked::by;
use everwarm_e2e::node::{Process, everwarm_command};
use everwarm_e2e::server::problem;
use everwarm_e2e::{DataFolder, NewApp, Server, eventually};
use rustix::process::Signal;

/// What the guest prints at this path.
const PRINTS: &str = "/wait-until?ms=1";
const PRINTED: &str = "background work ended: waited";

async fn shop(server: &Server) {
    let app = NewApp::new("shop", "misbehave", &["/*"]);
    app.deploy(&server.client()).await.unwrap();
}

/// Waits until the lines so far have this in them.
async fn lines(server: &Server, query: &LogQuery, wanted: &[&str]) -> Vec<LogLine> {
    eventually("the lines are there", async || {
        let page = server.client().logs("shop", query).await.unwrap();
        let has = |text: &&str| page.items.iter().any(|line| line.text.contains(*text));
        wanted.iter().all(has).then_some(page.items)
    })
    .await
}

#[tokio::test]
async fn lines_of_functions_and_of_their_requests_are_read_by_app() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server).await;
    server.get("shop.example.com", PRINTS).await.ok();
    server
        .get("shop.example.com", "/trap")
        .await
        .failed(500, "EW3002");
    let all = lines(&server, &LogQuery::default(), &[PRINTED, "/trap", PRINTS]).await;
    let printed = all.iter().find(|line| line.text == PRINTED).unwrap();
    assert!(
        ["stdout", "stderr"].contains(&printed.source.as_str()),
        "{printed:?}"
    );
    assert_eq!(printed.function, "f");
    let trap = all.iter().find(|line| line.text.contains("/trap")).unwrap();
    assert_eq!(trap.source, "access");
    assert!(
        trap.text.contains("EW3002") && trap.text.contains("request_id"),
        "{trap:?}"
    );

    // What another version, another function or a later time has isn't among them.
    let version = printed.version.clone();
    for (query, some) in [
        (
            LogQuery {
                version: Some(version[..15].to_owned()),
                ..LogQuery::default()
            },
            true,
        ),
        (
            LogQuery {
                version: Some("0123456789".to_owned()),
                ..LogQuery::default()
            },
            false,
        ),
        (
            LogQuery {
                function: Some("f".to_owned()),
                ..LogQuery::default()
            },
            true,
        ),
        (
            LogQuery {
                function: Some("g".to_owned()),
                ..LogQuery::default()
            },
            false,
        ),
        (
            LogQuery {
                since_ms: Some(printed.at_ms),
                ..LogQuery::default()
            },
            true,
        ),
        (
            LogQuery {
                since_ms: Some(u64::MAX / 2),
                ..LogQuery::default()
            },
            false,
        ),
    ] {
        let page = server.client().logs("shop", &query).await.unwrap();
        assert_eq!(!page.items.is_empty(), some, "{query:?}");
    }
    // Nobody else's: not another app's, not another tenant's.
    let other = server.tenant("ann", Quotas::default(), Scope::Read).await;
    assert_eq!(
        problem(other.logs("shop", &LogQuery::default()).await).status,
        404
    );
    assert_eq!(
        problem(server.client().logs("shed", &LogQuery::default()).await).status,
        404
    );
}

#[tokio::test]
async fn pages_follow_each_other_without_a_line_twice_or_missed() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server).await;
    for number in 0..30 {
        server
            .get("shop.example.com", &format!("/counter?{number}"))
            .await
            .ok();
    }
    lines(&server, &LogQuery::default(), &["/counter?29"]).await;
    let mut query = LogQuery {
        after: Some("0".to_owned()),
        limit: Some(7),
        ..LogQuery::default()
    };
    let mut texts = Vec::new();
    loop {
        let page = server.client().logs("shop", &query).await.unwrap();
        assert_eq!(page.missed, 0);
        if page.items.is_empty() {
            break;
        }
        assert!(page.items.len() <= 7);
        texts.extend(page.items.into_iter().map(|line| line.text));
        query.after = page.next;
    }
    for number in 0..30 {
        let path = format!("/counter?{number}\"");
        assert_eq!(
            texts.iter().filter(|text| text.contains(&path)).count(),
            1,
            "{path} in {texts:?}"
        );
    }
}

#[tokio::test]
async fn reader_who_is_too_slow_hears_how_much_it_missed() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server).await;
    server.get("shop.example.com", "/counter?first").await.ok();
    lines(&server, &LogQuery::default(), &["/counter?first"]).await;
    let first = server
        .client()
        .logs("shop", &LogQuery::default())
        .await
        .unwrap();
    let mut connection = server.node.connect().await;
    for number in 0..2_500 {
        let request = everwarm_e2e::Request::get(&format!("/counter?{number}"));
        connection
            .send(request.header("host", "shop.example.com"))
            .await
            .ok();
    }
    lines(&server, &LogQuery::default(), &["/counter?2499"]).await;
    let query = LogQuery {
        after: first.next,
        ..LogQuery::default()
    };
    let page = server.client().logs("shop", &query).await.unwrap();
    assert!(page.missed > 0, "{page:?}");
    assert!(!page.items.is_empty());
}

#[tokio::test]
async fn command_line_follows_as_lines_come() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server).await;
    let command = |arguments: &[&str]| {
        let mut command = everwarm_command();
        command
            .args(["logs", "shop"])
            .args(arguments)
            .env("EVERWARM_NODE", server.admin())
            .env("EVERWARM_TOKEN", server.first_token().expose());
        command
    };
    let follower = Process::start(command(&["-f"]));
    for _ in 0..2 {
        server.get("shop.example.com", PRINTS).await.ok();
    }
    follower
        .out
        .wait_for("both lines", |lines| {
            (lines.iter().filter(|line| line.contains(PRINTED)).count() == 2).then_some(())
        })
        .await;
    let line = follower.out.line(PRINTED).await;
    assert!(line.contains(" f std"), "{line}");
    let mut once = Process::start(command(&["--json", "-n", "1"]));
    assert!(once.ended().await.success());
    let line = once
        .out
        .value("a line", |value| value["source"].is_string())
        .await;
    assert_eq!(line["function"], "f");
}

#[tokio::test]
async fn follower_is_let_go_when_the_node_ends() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server).await;
    let client = server.client();
    let follows = tokio::spawn(async move {
        let query = LogQuery {
            after: Some(u64::MAX.to_string()),
            wait_s: Some(30),
            ..LogQuery::default()
        };
        client.logs("shop", &query).await
    });
    server.node.log().line("\"operation\":\"deploy\"").await;
    // Asked and waiting, or not yet asked: either way the node ends without it.
    let stopped = server.node.stop(Signal::TERM).await;
    assert!(stopped.status.success(), "{:?}", stopped.status);
    if let Ok(page) = follows.await.unwrap() {
        assert!(page.items.is_empty());
    }
}

#[tokio::test]
async fn what_a_function_was_denied_is_among_its_lines() {
    let data = DataFolder::new();
    let server = data.start().await;
    let app = NewApp::new("shop", "fetch", &["/*"]);
    app.deploy(&server.client()).await.unwrap();
    let asked = by("/error", "https://example.com/");
    server.get("shop.example.com", &asked).await.ok();
    let grant = "add \"https://example.com\" to `http`";
    let all = lines(&server, &LogQuery::default(), &[grant]).await;
    let told = all.iter().find(|line| line.text.contains(grant)).unwrap();
    assert_eq!(
        (told.source.as_str(), told.function.as_str()),
        ("node", "f")
    );
}

#[tokio::test]
async fn lines_are_there_after_a_restart_and_after_a_kill_with_their_requests() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server).await;
    let reply = server.get("shop.example.com", "/log").await;
    let id = reply.header("x-request-id").unwrap().to_owned();
    let said = |lines: &[LogLine]| {
        let mut said = lines.iter().filter(|line| line.source == "log");
        said.find(|line| line.text == "a message with a level")
            .cloned()
    };
    let before = lines(&server, &LogQuery::default(), &["a message with a level"]).await;
    let before = said(&before).unwrap();
    assert_eq!(before.request_id.as_deref(), Some(&*id));
    assert_eq!(before.level.as_deref(), Some("warn"));
    assert_eq!(before.context.as_deref(), Some("shop"));
    assert_eq!(before.trace_id.as_ref().unwrap().len(), 32);
    assert!(server.node.stop(Signal::TERM).await.status.success());

    let server = data.start().await;
    let page = server.client().logs("shop", &LogQuery::default()).await;
    let page = page.unwrap();
    assert_eq!(said(&page.items), Some(before.clone()));
    // What comes now is behind it.
    server.get("shop.example.com", "/stdout").await.ok();
    let next = LogQuery {
        after: page.next,
        ..LogQuery::default()
    };
    let new = lines(&server, &next, &["a line on stdout", "/stdout"]).await;
    assert_eq!(said(&new), None);
    let file = data.path().join("lines/default/shop/now.jsonl");
    eventually("the lines are on the disk", async || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains("a line on stdout").then_some(())
    })
    .await;
    let server = server.kill_and_restart(&data).await;
    let all = lines(&server, &LogQuery::default(), &["a line on stdout"]).await;
    assert_eq!(said(&all), Some(before));
    server.client().remove_app("shop").await.unwrap();
    assert!(!file.exists());
}
