//! Does with key-value stores what a test asks for: a request's body is one [`Ask`] in JSON, or a list of them, which
//! are done in order. The answer is what came of each: `{"ok": ...}`, or `{"error": "..."}` with what the SDK says.
//!
//! `GET` is what the bench measures: `/set` and `/get` one small value, `/hello` neither; the answer is a hello.

use std::time::Duration;

use everwarm_sdk::http::Method;
use everwarm_sdk::kv::{KvError, Store};
use everwarm_sdk::{Error, IntoResponse as _, Json, Request, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// A list has them in an array.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    One(Box<Ask>),
    Many(Vec<Ask>),
}

#[derive(Deserialize)]
struct Ask {
    store: Option<String>,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum What {
    Open,
    Get {
        key: String,
    },
    Set {
        key: String,
        value: String,
        ttl_ms: Option<u64>,
    },
    /// Sets so many bytes.
    SetBytes {
        key: String,
        bytes: usize,
    },
    Delete {
        key: String,
    },
    Exists {
        key: String,
    },
    Increment {
        key: String,
        delta: i64,
    },
    /// Adds a text to the value, whoever else does so.
    Append {
        key: String,
        value: String,
    },
    GetMany {
        keys: Vec<String>,
    },
    SetMany {
        values: Vec<(String, String)>,
    },
    DeleteMany {
        keys: Vec<String>,
    },
    Keys {
        prefix: Option<String>,
        cursor: Option<String>,
        count_max: Option<u32>,
    },
    /// Opens the store so often, and keeps all of them.
    Hoard {
        count: usize,
    },
    /// Sets as many entries of so many bytes as it may.
    Fill {
        bytes: usize,
    },
    /// Traps after it has set an entry.
    SetAndTrap {
        key: String,
        value: String,
    },
}

/// What `/set` sets, and `/get` answers.
const HELLO: &str = "Hello from Everwarm\n";

#[everwarm_sdk::http]
async fn kv(request: Request) -> Result {
    if request.method() == Method::GET {
        return Ok(hello(request.uri().path()).await?.into_response());
    }
    let asked = request.into_body().json().await?;
    Ok(Json(match asked {
        Asked::One(ask) => answer(&ask).await,
        Asked::Many(asks) => {
            let mut answers = Vec::new();
            for ask in &asks {
                answers.push(answer(ask).await);
            }
            Value::Array(answers)
        }
    })
    .into_response())
}

async fn hello(path: &str) -> Result<Vec<u8>> {
    match path {
        "/hello" => return Ok(HELLO.into()),
        "/get" => {}
        "/set" => {
            Store::open("default")?.set("hello", HELLO).await?;
            return Ok(HELLO.into());
        }
        _ => return Err(Error::not_found("there is /hello, /get and /set")),
    }
    let value = Store::open("default")?.get("hello").await?;
    value.ok_or_else(|| Error::not_found("/set comes first"))
}

async fn answer(ask: &Ask) -> Value {
    match done(ask).await {
        Ok(value) => json!({ "ok": value }),
        Err(KvError::AccessDenied) => json!({ "error": "access-denied" }),
        Err(KvError::NoSuchStore) => json!({ "error": "no-such-store" }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

async fn done(ask: &Ask) -> Result<Value, KvError> {
    let name = ask.store.as_deref().unwrap_or("default");
    let store = Store::open(name)?;
    Ok(match &ask.what {
        What::Open => Value::Null,
        What::Get { key } => json!(store.get(key).await?.map(text)),
        What::Set { key, value, ttl_ms } => {
            match ttl_ms.map(Duration::from_millis) {
                None => store.set(key, value).await?,
                Some(time_to_live) => store.set_for(key, value, time_to_live).await?,
            }
            Value::Null
        }
        What::SetBytes { key, bytes } => {
            store.set(key, vec![b'x'; *bytes]).await?;
            Value::Null
        }
        What::Delete { key } => {
            store.delete(key).await?;
            Value::Null
        }
        What::Exists { key } => json!(store.exists(key).await?),
        What::Increment { key, delta } => json!(store.increment(key, *delta).await?),
        What::Append { key, value } => {
            let grown =
                |before: Option<Vec<u8>>| [&before.unwrap_or_default(), value.as_bytes()].concat();
            json!(text(store.update(key, grown).await?))
        }
        What::GetMany { keys } => {
            let values = store.get_many(&texts(keys)).await?;
            json!(
                values
                    .into_iter()
                    .map(|value| value.map(text))
                    .collect::<Vec<_>>()
            )
        }
        What::SetMany { values } => {
            let values = values
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_bytes()));
            store.set_many(&values.collect::<Vec<_>>()).await?;
            Value::Null
        }
        What::DeleteMany { keys } => {
            store.delete_many(&texts(keys)).await?;
            Value::Null
        }
        What::Keys {
            prefix,
            cursor,
            count_max,
        } => {
            let cursor = cursor.as_deref();
            let page = match (prefix, count_max) {
                (None, None) => store.keys(cursor).await?,
                (prefix, count_max) => {
                    let prefix = prefix.as_deref().unwrap_or_default();
                    let count_max = count_max.unwrap_or(u32::MAX);
                    store.keys_with_prefix(prefix, cursor, count_max).await?
                }
            };
            json!({ "keys": page.keys, "cursor": page.cursor })
        }
        What::Hoard { count } => {
            let stores = (0..*count).map(|_| Store::open(name));
            json!(stores.collect::<Result<Vec<_>, _>>()?.len())
        }
        What::Fill { bytes } => {
            let value = vec![b'x'; *bytes];
            for number in 0.. {
                store.set(&format!("fill/{number}"), &value).await?;
            }
            Value::Null
        }
        What::SetAndTrap { key, value } => {
            store.set(key, value).await?;
            std::process::abort();
        }
    })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| format!("{} bytes", error.as_bytes().len()))
}

fn texts(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}
