//! Answers as a test says, and counts how often it was asked: what a cache in front of it does is seen by that.
//!
//! `PUT /plan?/path` with a [`Plan`] in JSON says how `/path` is answered from then on, `PUT /calls?/path` how often it was,
//! and `PUT /go?/path` lets those go on that a plan holds, up to the call that its body names, if it names one. `PUT /values` does with the cache of values what its body says, an
//! [`Ask`] in JSON. All else is answered by its plan: the body says which call it was,
//! and, if the plan wants it, all that the function sees of the request.

use std::time::Duration;

use everwarm_sdk::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use everwarm_sdk::kv::Store;
use everwarm_sdk::{Body, Error, IntoResponse as _, Request, Response, Result, cache, sleep};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How a path is answered.
#[derive(Deserialize, Serialize)]
#[serde(default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is something that an answer does, and a test asks for any of them"
)]
struct Plan {
    status: u16,
    headers: Vec<(String, String)>,
    /// Whether the body says what the function sees.
    seen: bool,
    /// So many bytes more, in pieces.
    bytes: usize,
    /// It breaks off in the middle.
    breaks: bool,
    /// There is no answer.
    traps: bool,
    /// It waits until the test lets it go on.
    holds: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            seen: false,
            bytes: 0,
            breaks: false,
            traps: false,
            holds: false,
        }
    }
}

/// What is done with the cache of values. The answer is what came of it.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Ask {
    Get {
        key: String,
    },
    Set {
        key: String,
        value: String,
        ttl_ms: u64,
    },
    SetBytes {
        key: String,
        bytes: usize,
    },
    Delete {
        key: String,
    },
}

const PAUSE: Duration = Duration::from_millis(5);
const PIECE_BYTES: usize = 16 << 10;

#[everwarm_sdk::http]
async fn cached(request: Request) -> Result {
    let store = Store::open("default")?;
    let path = request.uri().path().to_owned();
    if request.method() == Method::PUT {
        return told(&store, request).await;
    }
    let call = store.increment(&format!("calls:{path}"), 1).await?;
    let plan = store.get_json::<Plan>(&format!("plan:{path}")).await?;
    let plan = plan.unwrap_or_default();
    while plan.holds && !goes_on(&store, &path, call).await? {
        sleep(PAUSE).await;
    }
    assert!(!plan.traps, "on purpose");
    answer(&request, plan, call)
}

/// Whether a test lets a call go on.
async fn goes_on(store: &Store, path: &str, call: i64) -> Result<bool> {
    let last = store.get(&format!("go:{path}")).await?;
    let last = last.map(|last| String::from_utf8_lossy(&last).parse());
    Ok(last.is_some_and(|last| last.map_or(true, |last: i64| call <= last)))
}

/// What a test says, or asks.
async fn told(store: &Store, request: Request) -> Result {
    let about = request.uri().query().unwrap_or_default().to_owned();
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/plan" => {
            let plan: Plan = request.into_body().json().await?;
            store.set_json(&format!("plan:{about}"), &plan).await?;
            Ok("planned\n".into_response())
        }
        "/go" => {
            let last: String = request.into_body().text().await?;
            store.set(&format!("go:{about}"), &last).await?;
            Ok("gone on\n".into_response())
        }
        "/calls" => {
            let calls = store.increment(&format!("calls:{about}"), 0).await?;
            Ok(calls.to_string().into_response())
        }
        "/values" => {
            let ask: Ask = request.into_body().json().await?;
            let done = match ask {
                Ask::Get { key } => cache::get(&key)
                    .await
                    .map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned())),
                Ask::Set { key, value, ttl_ms } => {
                    let ttl = Duration::from_millis(ttl_ms);
                    cache::set(&key, value, ttl).await.map(|()| None)
                }
                Ask::SetBytes { key, bytes } => {
                    let value = vec![b'x'; bytes];
                    cache::set(&key, value, PAUSE).await.map(|()| None)
                }
                Ask::Delete { key } => cache::delete(&key).await.map(|()| None),
            };
            let told = match done {
                Ok(value) => json!({ "ok": value }),
                Err(error) => json!({ "error": error.to_string() }),
            };
            Ok(told.to_string().into_response())
        }
        _ => Err(Error::not_found("no such thing is told")),
    }
}

fn answer(request: &Request, plan: Plan, call: i64) -> Result {
    let fields = request.headers();
    let has = |name: &str| fields.get(name).map(HeaderValue::as_bytes);
    let value_of = |wanted: &str| {
        let mut headers = plan.headers.iter();
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_bytes())
    };
    let is_known = value_of("etag").is_some() && has("if-none-match") == value_of("etag");
    let mut body = format!("call {call}\n");
    if plan.seen {
        body = format!("{body}{} {}\n", request.method(), request.uri());
        for (name, value) in fields {
            let value = String::from_utf8_lossy(value.as_bytes());
            body.push_str(&[name.as_str(), ": ", &value, "\n"].concat());
        }
    }
    let mut response = if is_known {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = if plan.bytes > 0 || plan.breaks {
            Response::new(stream(body, plan.bytes, plan.breaks))
        } else {
            body.into_response()
        };
        *response.status_mut() = StatusCode::from_u16(plan.status)?;
        response
    };
    let headers = response.headers_mut();
    headers.insert("x-call", HeaderValue::from(call));
    for (name, value) in plan.headers {
        let name: HeaderName = name.parse()?;
        if name == header::CONTENT_TYPE {
            headers.remove(&name);
        }
        headers.append(name, HeaderValue::try_from(value)?);
    }
    Ok(response)
}

/// A body in pieces, with more behind its first one.
fn stream(first: String, bytes: usize, breaks: bool) -> Body {
    let pieces = bytes.div_ceil(PIECE_BYTES);
    let mut sent = 0;
    let mut first = Some(first);
    let pieces = std::iter::from_fn(move || {
        if let Some(first) = first.take() {
            return Some(Ok(first.into_bytes()));
        }
        if sent < pieces {
            sent += 1;
            let left = bytes - (sent - 1) * PIECE_BYTES;
            return Some(Ok(vec![b'x'; left.min(PIECE_BYTES)]));
        }
        (breaks && sent == pieces).then(|| {
            sent += 1;
            Err(std::io::Error::other("on purpose"))
        })
    });
    Body::from_stream(futures_util::stream::iter(pieces))
}
