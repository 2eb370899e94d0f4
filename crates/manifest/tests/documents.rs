//! The schema and the reference that users read say what the parser does.

use everwarm_manifest::{App, BucketName, Limits, limits, schema};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

fn document(name: &str) -> String {
    std::fs::read_to_string(format!("{DOCS}/{name}"))
        .unwrap_or_else(|error| panic!("docs/{name}: {error}"))
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    if std::env::var_os("EVERWARM_UPDATE_SCHEMA").is_some() {
        std::fs::write(format!("{DOCS}/everwarm.schema.json"), schema()).unwrap();
    }
    assert!(
        document("everwarm.schema.json") == schema(),
        "docs/everwarm.schema.json is old: run this test with EVERWARM_UPDATE_SCHEMA=1"
    );
}

#[test]
fn every_example_in_the_reference_is_a_valid_manifest() {
    let reference = document("manifest.md");
    let examples: Vec<&str> = reference
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() >= 3, "the reference has its examples");
    for example in examples {
        if let Err(errors) = App::parse(example, "docs/manifest.md") {
            panic!("{errors}\n{example}");
        }
    }
}

#[test]
fn the_reference_has_every_key_default_and_bound() {
    let reference = document("manifest.md");
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let properties = |pointer: &str| -> Vec<String> {
        schema
            .pointer(pointer)
            .and_then(|table| table.as_object())
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let function = "/properties/function/items/properties";
    let keys = [
        properties("/properties"),
        properties("/properties/build/properties"),
        properties("/properties/sql/items/properties"),
        properties(function),
        properties(&format!("{function}/cache/properties")),
        properties(&format!("{function}/grants/properties")),
        properties(&format!("{function}/limits/properties")),
        properties(&format!("{function}/mounts/items/properties")),
        properties("/properties/assets/items/properties"),
        properties("/properties/redis/items/properties"),
        properties("/properties/blobs/items/properties"),
        properties("/properties/queue/items/properties"),
        properties("/properties/schedule/items/properties"),
    ];
    for key in keys.concat() {
        assert!(reference.contains(&format!("`{key}`")), "{key}");
    }
    let rows = [
        (
            "memory",
            limits::MEMORY.default.to_string(),
            limits::MEMORY.min.to_string(),
            limits::MEMORY.max.to_string(),
        ),
        (
            "cpu_time",
            limits::CPU_TIME.default.to_string(),
            limits::CPU_TIME.min.to_string(),
            limits::CPU_TIME.max.to_string(),
        ),
        (
            "wall_time",
            limits::WALL_TIME.default.to_string(),
            limits::WALL_TIME.min.to_string(),
            limits::WALL_TIME.max.to_string(),
        ),
        (
            "concurrency",
            limits::CONCURRENCY.default.to_string(),
            limits::CONCURRENCY.min.to_string(),
            limits::CONCURRENCY.max.to_string(),
        ),
        (
            "request_body",
            limits::REQUEST_BODY.default.to_string(),
            limits::REQUEST_BODY.min.to_string(),
            limits::REQUEST_BODY.max.to_string(),
        ),
        (
            "response_body",
            limits::RESPONSE_BODY.default.to_string(),
            limits::RESPONSE_BODY.min.to_string(),
            limits::RESPONSE_BODY.max.to_string(),
        ),
        (
            "background_time",
            limits::BACKGROUND_TIME.default.to_string(),
            limits::BACKGROUND_TIME.min.to_string(),
            limits::BACKGROUND_TIME.max.to_string(),
        ),
        (
            "subrequests",
            limits::SUBREQUESTS.default.to_string(),
            limits::SUBREQUESTS.min.to_string(),
            limits::SUBREQUESTS.max.to_string(),
        ),
        (
            "subrequest_body",
            limits::SUBREQUEST_BODY.default.to_string(),
            limits::SUBREQUEST_BODY.min.to_string(),
            limits::SUBREQUEST_BODY.max.to_string(),
        ),
    ];
    for (key, default, min, max) in rows {
        let row = format!("| `{key}` | `{default}` | `{min}` | `{max}` |");
        assert!(reference.contains(&row), "{row}");
    }
}

#[test]
fn a_manifest_that_says_nothing_gets_the_defaults() {
    let app = App::parse("name = \"hello\"\n[[function]]\n", "everwarm.toml").unwrap();
    let function = app.function("hello").unwrap();
    assert_eq!(function.limits, Limits::default());
    assert_eq!(
        function
            .routes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["/*"]
    );
    assert_eq!(function.isolation.as_str(), "request");
    assert_eq!(function.target_world().as_str(), "wasi-0.2");
    assert_eq!((function.component.as_ref(), function.world), (None, None));
    assert!(function.grants.is_empty());
    assert!(function.env.is_empty() && app.build == everwarm_manifest::Build::default());
}

#[test]
fn a_manifest_that_says_everything_is_read_as_it_says() {
    let text = r#"
name = "shop"
[build]
command = "make"
package = "shop-api"
watch = ["src", "../shared"]
[[sql]]
name = "default"
migrations = "db/migrations"
[[sql]]
name = "events"
[[function]]
name = "api"
component = "out/api.wasm"
world = "wasi-0.3"
routes = ["/", "api.example.com/v1/{id}"]
isolation = "concurrent"
env = { KEY = "value", "OTHER.KEY" = "" }
[function.grants]
http = ["https://*.Example.org:443", "http://[fd00::7]:8080"]
addresses = ["fd00::/8", "127.0.0.1"]
kv = ["default", "user:sessions"]
sql = ["default"]
[function.limits]
memory = "64MiB"
cpu_time = "1s"
wall_time = "1h"
concurrency = 1_000
request_body = "0B"
response_body = "unlimited"
background_time = "0ms"
subrequests = 0
subrequest_body = "unlimited"
"#;
    let app = App::parse(text, "everwarm.toml").unwrap();
    assert_eq!(app.build.command.as_deref(), Some("make"));
    assert_eq!(app.build.watch.len(), 2);
    let api = &app.functions[0];
    assert_eq!(api.limits.concurrency.get(), 1_000);
    assert!(api.limits.response_body.is_unlimited());
    assert_eq!(api.limits.subrequests, 0);
    assert!(api.limits.subrequest_body.is_unlimited());
    let grants: Vec<_> = api.grants.http.iter().map(ToString::to_string).collect();
    assert_eq!(grants, ["https://*.example.org", "http://[fd00::7]:8080"]);
    let networks = ["fd00::/8", "127.0.0.1/32"].map(|text| text.parse().unwrap());
    assert_eq!(api.grants.addresses, networks);
    let buckets: Vec<_> = api.grants.kv.iter().map(BucketName::as_str).collect();
    assert_eq!(buckets, ["default", "user:sessions"]);
    assert_eq!(api.grants.sql[0].as_str(), "default");
    let databases: Vec<_> = app.sql.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(databases, ["default", "events"]);
    let folders: Vec<_> = app.sql.iter().map(|it| it.migrations.as_deref()).collect();
    assert_eq!(folders, [Some("db/migrations".as_ref()), None]);
    assert_eq!(
        api.limits.background_time.duration(),
        std::time::Duration::ZERO
    );
    assert_eq!(api.env["OTHER.KEY"], "");
    assert_eq!(api.target_world().as_str(), "wasi-0.3");
}
