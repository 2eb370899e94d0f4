//! The JSON Schema of `everwarm.toml`, for editors. Made from the parser's own keys and bounds; the
//! committed copy is `docs/everwarm.schema.json`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::app::{Compress, Isolation, World};
use crate::assets::{ASSETS_MAX, GLOB_BYTES_MAX, IMMUTABLE_MAX, PATH_BYTES_MAX};
use crate::cache::{DEFAULT_TTL, FIELD_NAME_BYTES_MAX, VARY_MAX};
use crate::config::{CONFIG_MAX, CONFIG_NAME_BYTES_MAX};
use crate::grants::{
    ADDRESSES_MAX, BUCKET_BYTES_MAX, BUCKETS_GRANTED_MAX, CONTAINERS_GRANTED_MAX,
    DATABASES_GRANTED_MAX, FUNCTIONS_GRANTED_MAX, HTTP_GRANTS_MAX, QUEUES_GRANTED_MAX,
    REDIS_GRANTED_MAX, SECRETS_GRANTED_MAX,
};
use crate::limits;
use crate::mounts::MOUNTS_MAX;
use crate::names::NAME_BYTES_MAX;
use crate::parse::keys::{
    ASSETS, BLOBS, BUILD, CACHE, FUNCTION, GRANTS, LIMITS, MOUNTS, QUEUE, REDIS, ROOT, SCHEDULE,
    SQL, Table,
};
use crate::parse::{
    CONTAINERS_MAX, DATABASES_MAX, ENV_MAX, FUNCTIONS_MAX, REDIS_MAX, ROUTES_MAX, WATCH_PATHS_MAX,
};
use crate::quantity::{ByteSize, Millis, UNLIMITED};
use crate::route::PATTERN_BYTES_MAX;
use crate::triggers::{
    self, CALL_PATH_BYTES_MAX, CRON_BYTES_MAX, Missed, Overlap, QUEUES_MAX, SCHEDULES_MAX,
};

/// The schema as pretty JSON with a newline at its end.
pub fn schema() -> String {
    let mut root = table(&ROOT, &["name"], |key| match key {
        "name" => name(),
        "build" => build(),
        "assets" => {
            json!({ "type": "array", "items": assets(), "minItems": 1, "maxItems": ASSETS_MAX })
        }
        "sql" => json!({ "type": "array", "items": sql(), "maxItems": DATABASES_MAX }),
        "redis" => json!({ "type": "array", "items": redis(), "maxItems": REDIS_MAX }),
        "blobs" => json!({ "type": "array", "items": blobs(), "maxItems": CONTAINERS_MAX }),
        "queue" => json!({ "type": "array", "items": queue(), "maxItems": QUEUES_MAX }),
        "schedule" => json!({ "type": "array", "items": schedule(), "maxItems": SCHEDULES_MAX }),
        _ => {
            json!({ "type": "array", "items": function(), "minItems": 1, "maxItems": FUNCTIONS_MAX })
        }
    });
    if let Some(root) = root.as_object_mut() {
        root.insert(
            "$schema".into(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        root.insert(
            "$id".into(),
            json!("https://everwarm.dev/everwarm.schema.json"),
        );
        root.insert("title".into(), json!("everwarm.toml"));
        let either = ["function", "assets"].map(|key| json!({ "required": [key] }));
        root.insert("anyOf".into(), json!(either));
    }
    format!("{root:#}\n")
}

/// An object with the table's keys and no others.
fn table(table: &Table, required: &[&str], value_of: impl Fn(&str) -> Value) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        let mut value = value_of(key.name);
        if let Some(value) = value.as_object_mut() {
            value.insert("description".into(), json!(key.about));
        }
        properties.insert(key.name.into(), value);
    }
    let mut object =
        json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (false, Some(object)) = (required.is_empty(), object.as_object_mut()) {
        object.insert("required".into(), json!(required));
    }
    object
}

fn name() -> Value {
    json!({ "type": "string", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$", "maxLength": NAME_BYTES_MAX })
}

fn config_name() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": CONFIG_NAME_BYTES_MAX })
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn build() -> Value {
    table(&BUILD, &[], |key| match key {
        "watch" => json!({ "type": "array", "items": text(), "maxItems": WATCH_PATHS_MAX }),
        "package" => json!({ "type": "string", "pattern": "^[\\p{L}\\p{N}_][\\p{L}\\p{N}_-]*$" }),
        _ => text(),
    })
}

fn sql() -> Value {
    table(&SQL, &["name"], |key| match key {
        "name" => name(),
        "url" => json!({
            "type": "string",
            "pattern": "^postgres(ql)?://[^/:@]+@[^/]+/[^/?]+(\\?sslmode=(require|disable))?$",
            "examples": ["postgres://shop@db.example.com/shop"],
        }),
        "password" => config_name(),
        _ => text(),
    })
}

fn blobs() -> Value {
    table(&BLOBS, &["name"], |_| name())
}

fn redis() -> Value {
    table(&REDIS, &["name", "url"], |key| match key {
        "name" => name(),
        "password" => config_name(),
        _ => json!({
            "type": "string",
            "pattern": "^rediss?://([^/:@]+@)?[^/@]+(/[0-9]*)?$",
            "examples": ["rediss://cache.example.com", "rediss://app@cache.example.com:6380/1"],
        }),
    })
}

fn queue() -> Value {
    table(&QUEUE, &["name", "function"], |key| match key {
        "name" | "function" => name(),
        "batch" => count(&triggers::BATCH),
        "batch_wait" => time(&triggers::BATCH_WAIT),
        "concurrency" => count(&triggers::CALLS),
        other => called(other),
    })
}

fn schedule() -> Value {
    table(&SCHEDULE, &["name", "function", "cron"], |key| match key {
        "name" | "function" => name(),
        "cron" => json!({
            "type": "string",
            "minLength": 1,
            "maxLength": CRON_BYTES_MAX,
            "examples": ["0 3 * * *", "*/5 * * * *", "0 9 * * MON-FRI"],
        }),
        "zone" => json!({ "type": "string", "default": "UTC", "examples": ["Europe/Vienna"] }),
        "jitter" => time(&triggers::JITTER),
        "overlap" => {
            json!({ "enum": Overlap::ALL.map(Overlap::as_str), "default": Overlap::default().as_str() })
        }
        "missed" => {
            json!({ "enum": Missed::ALL.map(Missed::as_str), "default": Missed::default().as_str() })
        }
        other => called(other),
    })
}

/// What queues and schedules have in common.
fn called(key: &str) -> Value {
    match key {
        "visibility" => time(&triggers::VISIBILITY),
        "attempts" => count(&triggers::ATTEMPTS),
        "backoff" => time(&triggers::BACKOFF),
        "backoff_max" => time(&triggers::BACKOFF_MAX),
        _ => {
            json!({ "type": "string", "pattern": "^/[!-~]*$", "maxLength": CALL_PATH_BYTES_MAX, "examples": ["/queues/mails"] })
        }
    }
}

fn function() -> Value {
    table(&FUNCTION, &[], |key| match key {
        "name" => name(),
        "world" => json!({ "enum": World::ALL.map(World::as_str) }),
        "routes" => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^[^/]*/", "maxLength": PATTERN_BYTES_MAX },
            "maxItems": ROUTES_MAX,
            "uniqueItems": true,
            "default": ["/*"],
            "examples": [["/", "/api/*", "api.example.com/v1/{id}", "*.example.com/*"]],
        }),
        "isolation" => {
            json!({ "enum": Isolation::ALL.map(Isolation::as_str), "default": Isolation::default().as_str() })
        }
        "compress" => {
            json!({ "enum": Compress::ALL.map(Compress::as_str), "default": Compress::default().as_str() })
        }
        "server_timing" => json!({ "type": "boolean", "default": false }),
        "env" => {
            json!({ "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": ENV_MAX })
        }
        "config" => json!({
            "type": "object",
            "propertyNames": config_name(),
            "additionalProperties": { "type": "string" },
            "maxProperties": CONFIG_MAX,
        }),
        "cache" => cache(),
        "grants" => grants(),
        "limits" => table(&LIMITS, &[], limit),
        "mounts" => json!({ "type": "array", "items": mount(), "maxItems": MOUNTS_MAX }),
        _ => text(),
    })
}

fn assets() -> Value {
    let file = || json!({ "type": "string", "minLength": 1, "maxLength": PATH_BYTES_MAX });
    table(&ASSETS, &["path"], |key| match key {
        "at" => json!({
            "type": "string",
            "pattern": "^[^/*{}]*/[^*{}]*$",
            "maxLength": PATTERN_BYTES_MAX,
            "default": "/",
            "examples": ["/static", "www.example.com/"],
        }),
        "immutable" => json!({
            "type": "array",
            "items": { "type": "string", "minLength": 1, "maxLength": GLOB_BYTES_MAX },
            "maxItems": IMMUTABLE_MAX,
            "examples": [["assets/**", "**/*.woff2"]],
        }),
        _ => file(),
    })
}

fn mount() -> Value {
    table(&MOUNTS, &["path"], |key| match key {
        "at" => json!({
            "type": "string",
            "pattern": "^/",
            "maxLength": PATH_BYTES_MAX + 1,
            "examples": ["/data"],
        }),
        _ => json!({ "type": "string", "minLength": 1, "maxLength": PATH_BYTES_MAX }),
    })
}

fn cache() -> Value {
    table(&CACHE, &[], |key| match key {
        "default_ttl" => time(&DEFAULT_TTL),
        "vary" => json!({
            "type": "array",
            "items": { "type": "string", "pattern": format!("^[A-Za-z0-9_-]{{1,{FIELD_NAME_BYTES_MAX}}}$") },
            "maxItems": VARY_MAX,
            "uniqueItems": true,
            "examples": [["accept-language"]],
        }),
        _ => json!({ "type": "boolean", "default": false }),
    })
}

fn grants() -> Value {
    table(&GRANTS, &[], |key| match key {
        "http" => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^https?://[^/?#@]+$" },
            "maxItems": HTTP_GRANTS_MAX,
            "uniqueItems": true,
            "examples": [["https://api.example.com", "https://*.example.org:8443", "http://10.0.0.7:8080"]],
        }),
        "functions" => json!({
            "type": "array",
            "items": name(),
            "maxItems": FUNCTIONS_GRANTED_MAX,
            "uniqueItems": true,
        }),
        "kv" => json!({
            "type": "array",
            "items": { "type": "string", "pattern": format!("^[!-~]{{1,{BUCKET_BYTES_MAX}}}$") },
            "maxItems": BUCKETS_GRANTED_MAX,
            "uniqueItems": true,
            "examples": [["default"]],
        }),
        "secrets" => json!({
            "type": "array",
            "items": config_name(),
            "maxItems": SECRETS_GRANTED_MAX,
            "uniqueItems": true,
        }),
        "cache" => json!({ "type": "boolean", "default": false }),
        "sql" => json!({
            "type": "array",
            "items": name(),
            "maxItems": DATABASES_GRANTED_MAX,
            "uniqueItems": true,
            "examples": [["default"]],
        }),
        "redis" => json!({
            "type": "array",
            "items": name(),
            "maxItems": REDIS_GRANTED_MAX,
            "uniqueItems": true,
            "examples": [["default"]],
        }),
        "queues" => json!({
            "type": "array",
            "items": name(),
            "maxItems": QUEUES_GRANTED_MAX,
            "uniqueItems": true,
        }),
        "blobs" => json!({
            "type": "array",
            "items": name(),
            "maxItems": CONTAINERS_GRANTED_MAX,
            "uniqueItems": true,
            "examples": [["photos"]],
        }),
        _ => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$" },
            "maxItems": ADDRESSES_MAX,
            "uniqueItems": true,
            "examples": [["10.1.0.0/16", "127.0.0.1"]],
        }),
    })
}

fn limit(key: &str) -> Value {
    match key {
        "memory" => size(&limits::MEMORY),
        "cpu_time" => time(&limits::CPU_TIME),
        "wall_time" => time(&limits::WALL_TIME),
        "request_body" => size(&limits::REQUEST_BODY),
        "response_body" => size(&limits::RESPONSE_BODY),
        "background_time" => time(&limits::BACKGROUND_TIME),
        "subrequests" => count(&limits::SUBREQUESTS),
        "subrequest_body" => size(&limits::SUBREQUEST_BODY),
        _ => count(&limits::CONCURRENCY),
    }
}

fn count<Q: Serialize>(bounds: &limits::Bounds<Q>) -> Value {
    json!({
        "type": "integer",
        "minimum": bounds.min,
        "maximum": bounds.max,
        "default": bounds.default,
    })
}

fn size(bounds: &limits::Bounds<ByteSize>) -> Value {
    let number = "[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)";
    let pattern = if bounds.max.is_unlimited() {
        format!("^({number}|{UNLIMITED})$")
    } else {
        format!("^{number}$")
    };
    json!({ "type": "string", "pattern": pattern, "default": bounds.default })
}

fn time(bounds: &limits::Bounds<Millis>) -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "default": bounds.default })
}
