//! SQL databases that the node keeps, as functions of both worlds have them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::asked::noticed;
use everwarm_e2e::{App, Node, Request, World, both_worlds, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)";

fn app(world: World) -> App {
    // What a statement costs in a debug build isn't what these tests are about.
    App::new("sql", world)
        .limit("cpu_time", "10s")
        .grant("sql = [\"default\"]")
        .table("[[sql]]\nname = \"default\"\n[[sql]]\nname = \"other\"")
}

fn post(asks: &Value) -> Request {
    let body = json!({ "asks": asks }).to_string();
    Request::post("/", body).header("content-type", "application/json")
}

/// What came of each.
async fn ask(node: &Node, asks: Value) -> Vec<Value> {
    let reply = node.send(post(&asks)).await;
    reply.ok();
    reply.json().as_array().unwrap().clone()
}

/// What the last one answers.
async fn last(node: &Node, asks: Value) -> Value {
    let answers = ask(node, asks).await;
    let answer = answers.last().unwrap();
    assert!(answer["error"].is_null(), "{answers:?}");
    answer["ok"].clone()
}

both_worlds! {
    async fn rows_come_back_as_they_were_put_in(world: World) {
        let node = app(world).start().await;
        let values = json!([7, 2.5, "text \u{1f980}", { "blob": "bytes" }, null, true]);
        let answer = last(&node, json!([
            { "execute": "CREATE TABLE v (a, b, c, d, e, f)" },
            { "execute": ["INSERT INTO v VALUES (?1, ?2, ?3, ?4, ?5, ?6)", values] },
            { "query": "SELECT * FROM v" },
        ]))
        .await;
        assert_eq!(answer["columns"], json!(["a", "b", "c", "d", "e", "f"]));
        // SQLite has numbers for truth.
        let expected = json!([[7, 2.5, "text \u{1f980}", { "blob": "bytes" }, null, 1]]);
        assert_eq!(answer["rows"], expected);
        // Another request finds what this one has put in.
        let count = last(&node, json!([{ "query": "SELECT count(*) FROM v" }])).await;
        assert_eq!(count["rows"], json!([[1]]));
    }

    async fn mistakes_are_told_with_their_code_and_change_nothing(world: World) {
        let node = app(world).start().await;
        let answers = ask(&node, json!([
            { "execute": TABLE },
            { "execute": "INSERT INTO t (name) VALUES ('a')" },
            { "execute": "INSERT INTO t (name) VALUES ('a')" },
            { "execute": "SELEC 1" },
            { "execute": "ATTACH 'x' AS y" },
            { "execute": ["SELECT ?1", []] },
            { "query": "SELECT count(*) FROM t" },
        ]))
        .await;
        assert_eq!(answers[2]["error"], "SQLITE_CONSTRAINT_UNIQUE");
        assert_eq!(answers[3]["error"], "SQLITE_ERROR");
        assert_eq!(answers[4]["error"], "SQLITE_AUTH");
        assert!(!answers[5]["error"].is_null());
        assert_eq!(answers[6]["ok"]["rows"], json!([[1]]));
    }

    async fn transaction_is_kept_when_it_is_committed_and_undone_otherwise(world: World) {
        let node = app(world).start().await;
        last(&node, json!([
            { "execute": TABLE },
            "begin",
            { "execute": "INSERT INTO t (name) VALUES ('kept')" },
            "commit",
            "begin",
            { "execute": "INSERT INTO t (name) VALUES ('undone')" },
            "rollback",
        ]))
        .await;
        // One that is open when its request ends, or traps, is undone too.
        let left = json!(["begin", { "execute": "INSERT INTO t (name) VALUES ('left')" }]);
        ask(&node, left).await;
        let trap = json!(["begin", { "execute": "INSERT INTO t (name) VALUES ('trapped')" }, "trap"]);
        node.send(post(&trap)).await.failed(500, "EW3002");
        let batch = json!([{ "batch": ["INSERT INTO t (name) VALUES ('b')", "INSERT INTO t (name) VALUES ('kept')"] }]);
        assert_eq!(ask(&node, batch).await[0]["error"], "SQLITE_CONSTRAINT_UNIQUE");
        let names = last(&node, json!([{ "query": "SELECT name FROM t" }])).await;
        assert_eq!(names["rows"], json!([["kept"]]));
    }

    async fn database_that_is_not_granted_is_not_opened_and_the_log_names_the_grant(world: World) {
        let node = app(world).start().await;
        let body = json!({ "database": "other", "asks": [] }).to_string();
        let request = Request::post("/", body).header("content-type", "application/json");
        assert_eq!(node.send(request).await.json()[0]["error"], "access-denied");
        noticed(&node, "\"other\" to `sql` in [function.grants] of the function `sql`").await;
        let body = json!({ "database": "No name", "asks": [] }).to_string();
        let request = Request::post("/", body).header("content-type", "application/json");
        assert_eq!(node.send(request).await.json()[0]["error"], "no-such-database");
    }

    async fn statement_without_an_end_ends_and_others_go_on(world: World) {
        let node = app(world).limit("wall_time", "2s").start().await;
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let answers = ask(&node, json!([{ "query": endless }])).await;
        assert_eq!(answers[0]["error"], "timeout", "{answers:?}");
        let one = last(&node, json!([{ "query": "SELECT 1" }])).await;
        assert_eq!(one["rows"], json!([[1]]));
    }

    async fn large_answers_are_read_piece_by_piece(world: World) {
        let node = app(world).start().await;
        let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n";
        let all = last(&node, json!([{ "query": numbers }])).await;
        assert_eq!(all["rows"].as_array().unwrap().len(), 3_000);
        let first = last(&node, json!([{ "first": [numbers, 2] }])).await;
        assert_eq!(first, json!([[1], [2]]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_the_node_is_killed() {
    let folder = app(World::Wasi02).write();
    let insert = json!([{ "execute": "INSERT INTO t DEFAULT VALUES" }]);
    let mut told = 0;
    for round in 0..6 {
        let node = folder.start().await;
        let count = json!([
            { "execute": "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY)" },
            { "query": "SELECT count(*) FROM t" },
        ]);
        let now = last(&node, count).await["rows"][0][0].as_i64().unwrap();
        assert!(
            now >= told,
            "{told} were acknowledged, and {now} are there: round {round}"
        );
        told = now;
        let mut connection = node.connect().await;
        eventually("something is written", async || {
            let reply = connection.send(post(&insert)).await;
            told += i64::from(reply.json()[0]["error"].is_null());
            (told > now + round).then_some(())
        })
        .await;
        drop(node.stop(Signal::KILL).await);
    }
}
