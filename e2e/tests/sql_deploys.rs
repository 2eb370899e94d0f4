//! Deploys to a node whose app has SQL databases: migrations, versions that share them, removal.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_api::messages::MigrationFile;
use everwarm_e2e::server::problem;
use everwarm_e2e::{DataFolder, NewApp, Request, Server};
use serde_json::{Value, json};

const TABLE: (&str, &str) = (
    "0001_table.sql",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)",
);
const ROW: (&str, &str) = (
    "0002_row.sql",
    "INSERT INTO t (name) VALUES ('from a migration')",
);

/// The app with these migrations.
fn shop(migrations: &[(&str, &str)]) -> NewApp {
    let mut app = NewApp::new("shop", "sql", &["/*"])
        .line("[function.grants]\nsql = [\"default\"]")
        .line("[[sql]]\nname = \"default\"\nmigrations = \"migrations\"");
    let files = migrations.iter().map(|(name, text)| MigrationFile {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    });
    let files = files.collect();
    app.deploy.migrations.insert("default".to_owned(), files);
    app
}

async fn ask(server: &Server, asks: Value) -> Value {
    let request = Request::post("/", json!({ "asks": asks }).to_string())
        .header("content-type", "application/json")
        .header("host", "shop.example.com");
    let reply = server.node.send(request).await;
    reply.ok();
    reply.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploy_applies_what_is_new_and_refuses_what_was_changed() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let deployed = shop(&[TABLE]).deploy(&client).await.unwrap();
    assert!(deployed.stages.iter().any(|stage| stage.stage == "migrate"));
    let names = json!([{ "query": "SELECT name FROM t" }]);
    assert_eq!(
        ask(&server, names.clone()).await[0]["ok"]["rows"],
        json!([])
    );
    shop(&[TABLE, ROW]).deploy(&client).await.unwrap();
    let row = json!([["from a migration"]]);
    assert_eq!(ask(&server, names.clone()).await[0]["ok"]["rows"], row);
    // The same again does nothing twice.
    shop(&[TABLE, ROW]).deploy(&client).await.unwrap();
    assert_eq!(ask(&server, names.clone()).await[0]["ok"]["rows"], row);

    let changed = (TABLE.0, "CREATE TABLE other (id INTEGER)");
    let broken = ("0003_broken.sql", "DELETE FROM t; SELEC");
    for (migrations, told) in [
        (vec![changed, ROW], "0001_table.sql"),
        (vec![TABLE], "0002_row.sql"),
        (vec![TABLE, ROW, broken], "0003_broken.sql"),
    ] {
        let app = shop(&migrations).line("# another version");
        let refused = problem(app.deploy(&client).await);
        assert_eq!((refused.status, refused.code.as_str()), (409, "EW5026"));
        let detail = refused.detail;
        assert!(
            detail.contains("`default`") && detail.contains(told),
            "{detail}"
        );
        assert_eq!(ask(&server, names.clone()).await[0]["ok"]["rows"], row);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_are_those_of_the_databases_that_the_manifest_names() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let mut missing = shop(&[TABLE]);
    missing.deploy.migrations.clear();
    let mut unknown = shop(&[TABLE]);
    let files = unknown.deploy.migrations["default"].clone();
    unknown.deploy.migrations.insert("other".to_owned(), files);
    for (app, told) in [
        (missing, "has none of it"),
        (unknown, "no such database"),
        (shop(&[("x.sql", "")]), "x.sql"),
    ] {
        let refused = problem(app.deploy(&client).await);
        assert_eq!(refused.status, 400);
        let detail = refused.detail;
        assert!(detail.contains(told), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_goes_with_its_app_and_its_name_begins_anew() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    shop(&[TABLE, ROW]).deploy(&client).await.unwrap();
    let count = json!([{ "query": "SELECT count(*) FROM t" }]);
    assert_eq!(
        ask(&server, count.clone()).await[0]["ok"]["rows"],
        json!([[1]])
    );
    client.remove_app("shop").await.unwrap();
    shop(&[TABLE]).deploy(&client).await.unwrap();
    assert_eq!(ask(&server, count).await[0]["ok"]["rows"], json!([[0]]));
}
