//! Postgres servers as functions of both worlds have them: real ones, and ones that don't do as they should.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use everwarm_e2e::postgres::{PASSWORD, USER};
use everwarm_e2e::{App, Authority, Node, Postgres, Request, World, eventually, rude};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// An app with a server that has no password, at this URL.
fn at(url: &str, world: World) -> App {
    App::new("sql", world)
        .limit("cpu_time", "10s")
        .grant("sql = [\"default\"]\naddresses = [\"127.0.0.1\"]")
        .table(&format!(
            "[[sql]]\nname = \"default\"\nurl = \"{url}\"\npassword = \"PASSWORD\""
        ))
        .secret("PASSWORD", PASSWORD)
}

async fn ask(node: &Node, asks: Value) -> Vec<Value> {
    let body = json!({ "asks": asks }).to_string();
    let request = Request::post("/", body).header("content-type", "application/json");
    let reply = node.send(request).await;
    reply.ok();
    reply.json().as_array().unwrap().clone()
}

async fn rows(node: &Node, query: Value) -> Value {
    let answers = ask(node, json!([{ "query": query }])).await;
    assert!(answers[0]["error"].is_null(), "{answers:?}");
    answers[0]["ok"]["rows"].clone()
}

async fn values_and_transactions(world: World) {
    let server = Postgres::start().await;
    let node = at(&server.url(), world).start().await;
    // What Postgres has its own types for is text; other values are what they are.
    let values = "SELECT 7::int2, 2147483648::int8, 2.5::float8, 'text'::text, true, NULL, '\\x6162'::bytea, 12.50::numeric, \
                  '{\"a\": 1}'::jsonb, 'b2a1f3de-0000-4000-8000-00000000002a'::uuid, \
                  '2024-02-29T12:30:00Z'::timestamptz, '2024-02-29'::date";
    let expected = json!([[7, 2_147_483_648_i64, 2.5, "text", true, null, { "blob": "ab" }, "12.50", "{\"a\": 1}",
        "b2a1f3de-0000-4000-8000-00000000002a", "2024-02-29T12:30:00Z", "2024-02-29"]]);
    assert_eq!(rows(&node, json!(values)).await, expected);
    // Parameters are what the statement needs them to be.
    let parameters = json!(["SELECT $1::int4 + 1, $2::timestamptz > now(), $3::text, $4::bytea, $5::bool, $6::numeric * 2",
        [41, "2999-01-01", "x", { "blob": "ab" }, false, 1.25]]);
    let expected = json!([[42, true, "x", { "blob": "ab" }, false, "2.50"]]);
    assert_eq!(rows(&node, parameters).await, expected);

    let answers = ask(
        &node,
        json!([
            { "execute": "CREATE TABLE t (id int PRIMARY KEY)" },
            { "execute": ["INSERT INTO t VALUES ($1)", [1]] },
            { "execute": ["INSERT INTO t VALUES ($1)", [1]] },
            { "execute": "SELEC" },
            "begin",
            { "execute": "INSERT INTO t VALUES (2)" },
            "commit",
            "begin",
            { "execute": "INSERT INTO t VALUES (3)" },
            { "execute": "INSERT INTO t VALUES (1)" },
            "commit",
            { "batch": ["INSERT INTO t VALUES (4)", "INSERT INTO t VALUES (1)"] },
            { "query": ["SELECT $1::text", ["a\u{0}b"]] },
        { "while-reading": ["SELECT * FROM t, generate_series(1, 5000)", "SELECT 1"] },
        ]),
    )
    .await;
    let errors: Vec<_> = answers
        .iter()
        .map(|answer| answer["error"].as_str())
        .collect();
    assert_eq!(
        errors,
        [
            None,
            None,
            Some("23505"),
            Some("42601"),
            None,
            None,
            None,
            None,
            None,
            Some("23505"),
            Some("25P02"),
            Some("23505"),
            Some("other"),
            Some("other"),
        ]
    );
    // Left open, it is undone with its request.
    ask(
        &node,
        json!(["begin", { "execute": "INSERT INTO t VALUES (5)" }]),
    )
    .await;
    assert_eq!(
        rows(&node, json!("SELECT id FROM t ORDER BY id")).await,
        json!([[1], [2]])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_and_transactions_are_postgres_own_in_wasi_02() {
    values_and_transactions(World::Wasi02).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_and_transactions_are_postgres_own_in_wasi_03() {
    values_and_transactions(World::Wasi03).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_for_whoever_comes_next_and_nothing_of_a_session_is_left_in_them() {
    let server = Postgres::start().await;
    let node = at(&server.url(), World::Wasi02).start().await;
    let backend = rows(&node, json!("SELECT pg_backend_pid()")).await;
    ask(
        &node,
        json!([
            { "execute": "SET search_path TO nowhere" },
            { "execute": "CREATE TEMP TABLE mine (id int)" },
            { "execute": "SELECT pg_advisory_lock(7)" },
        ]),
    )
    .await;
    eventually("the connection is tidied up", async || {
        let seen = rows(
            &node,
            json!(
                "SELECT pg_backend_pid(), current_setting('search_path'), to_regclass('mine')::text"
            ),
        )
        .await;
        (seen == json!([[backend[0][0], "\"$user\", public", null]])).then_some(())
    })
    .await;
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(rows(&node, json!(locks)).await, json!([[0]]));

    // More at once than there are connections: they wait for each other.
    let waits = (0..40).map(|_| rows(&node, json!("SELECT 1 FROM pg_sleep(0.05)")));
    for answer in futures_util::future::join_all(waits).await {
        assert_eq!(answer, json!([[1]]));
    }
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{USER}' AND application_name = 'everwarm'"
    );
    let open: u32 = server.run(&open).parse().unwrap();
    assert!((1..=20).contains(&open), "{open}");
}

/// Waits until the server works on no statement of a function's.
async fn stopped(server: &Postgres) {
    eventually("the server has stopped", async || {
        let running = "SELECT count(*) FROM pg_stat_activity \
                       WHERE application_name = 'everwarm' AND state = 'active'";
        (server.run(running) == "0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_that_takes_too_long_is_stopped_on_the_server_too() {
    let server = Postgres::start().await;
    let node = at(&server.url(), World::Wasi02)
        .limit("wall_time", "3s")
        .start()
        .await;
    let answers = ask(&node, json!([{ "query": "SELECT pg_sleep(60)" }])).await;
    assert_eq!(answers[0]["error"], "timeout", "{answers:?}");
    stopped(&server).await;
    // One whose rows have begun to come is, too.
    let stalls = "SELECT repeat('x', 10000), CASE WHEN i = 100 THEN pg_sleep(60) END FROM generate_series(1, 200) i";
    let answers = ask(&node, json!([{ "query": stalls }])).await;
    assert_eq!(answers[0]["error"], "timeout", "{:?}", answers[0]);
    stopped(&server).await;
    assert_eq!(rows(&node, json!("SELECT 1")).await, json!([[1]]));
    // An answer without an end takes no memory without an end.
    let large = "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)";
    let answers = ask(&node, json!([{ "query": large }, { "query": "SELECT 1" }])).await;
    assert_eq!(answers[0]["error"], "too-much", "{:?}", answers[0]);
    assert_eq!(answers[1]["ok"]["rows"], json!([[1]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_goes_away_is_an_error_and_is_found_again() {
    let mut server = Postgres::start().await;
    let node = at(&server.url(), World::Wasi02).start().await;
    assert_eq!(rows(&node, json!("SELECT 1")).await, json!([[1]]));
    server.kill();
    eventually("the server is missed", async || {
        let answers = ask(&node, json!([{ "query": "SELECT 1" }])).await;
        (answers[0]["error"] == "unavailable").then_some(())
    })
    .await;
    server.start_again().await;
    eventually("the server is found", async || {
        let answers = ask(&node, json!([{ "query": "SELECT 1" }])).await;
        answers[0]["error"].is_null().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_whom_the_node_trusts_and_with_nobody_else() {
    let authority = Authority::new();
    let pair = authority.issue(&["127.0.0.1"]);
    let server = Postgres::start_with(Some((&pair.chain, &pair.key))).await;
    let url = server.url().replace("?sslmode=disable", "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let trusting = at(&url, World::Wasi02).flag("--trusted-cas", file.to_str().unwrap());
    let trusting = trusting.start().await;
    let tls = rows(
        &trusting,
        json!("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"),
    )
    .await;
    assert_eq!(tls, json!([[true]]));
    let node = at(&url, World::Wasi02).start().await;
    let answers = ask(&node, json!([{ "query": "SELECT 1" }])).await;
    assert_eq!(answers[0]["error"], "unavailable");
    assert!(
        answers[0]["text"].as_str().unwrap().contains("certificate"),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_server_or_lets_nobody_in_is_an_error_that_says_so() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let url = |address: SocketAddr| format!("postgres://{USER}@{address}/postgres?sslmode=disable");
    for (url, told) in [
        (url(closed), "can't be reached"),
        (url(rude::always(rude::GARBAGE[0]).await), "broke off"),
        (url(silent.local_addr().unwrap()), "in time"),
    ] {
        let node = at(&url, World::Wasi02)
            .limit("wall_time", "15s")
            .start()
            .await;
        let answers = ask(&node, json!([{ "query": "SELECT 1" }])).await;
        assert_eq!(answers[0]["error"], "unavailable", "{answers:?}");
        let text = answers[0]["text"].as_str().unwrap();
        assert!(text.contains(told), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
    let server = Postgres::start().await;
    let node = at(&server.url(), World::Wasi02)
        .secret("PASSWORD", "wrong")
        .start()
        .await;
    let answers = ask(&node, json!([{ "query": "SELECT 1" }])).await;
    assert!(
        answers[0]["text"]
            .as_str()
            .unwrap()
            .contains("lets nobody in"),
        "{answers:?}"
    );
    // Its address isn't public: it has to be listed.
    let unlisted = App::new("sql", World::Wasi02)
        .grant("sql = [\"default\"]")
        .table("[[sql]]\nname = \"default\"\nurl = \"postgres://app@localhost/x\"");
    let node = unlisted.start().await;
    let answers = ask(&node, json!([{ "query": "SELECT 1" }])).await;
    assert!(
        answers[0]["text"]
            .as_str()
            .unwrap()
            .contains("isn't public"),
        "{answers:?}"
    );
}
