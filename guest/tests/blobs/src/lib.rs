//! Keeps blobs as a test asks for. `PUT /<container>/<name>` writes the body as it comes, `GET` streams the blob back; the
//! fields `if-none-match`, `if-match` and `x-part` (`start+len`) say more. `POST /` does what the JSON in its body says. The
//! answer is what came of it: `{"ok": ...}`, or `{"error": "..."}` with what the SDK says.

use everwarm_sdk::blobs::{BlobError, BlobInfo, Condition, Container};
use everwarm_sdk::http::{HeaderMap, Method};
use everwarm_sdk::{Error, IntoResponse as _, Json, Request, Response, Result};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Ask {
    container: Option<String>,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum What {
    Open,
    Head {
        name: String,
    },
    Put {
        name: String,
        text: String,
    },
    Get {
        name: String,
    },
    List {
        prefix: String,
        cursor: Option<String>,
        count_max: u32,
    },
    Delete {
        name: String,
        matches: Option<String>,
    },
    Copy {
        name: String,
        to: String,
        to_name: String,
    },
    Rename {
        name: String,
        to: String,
        to_name: String,
    },
    /// Begins so many blobs, and finishes none.
    Hoard {
        count: usize,
    },
    /// Writes so many mebibytes of one byte.
    Fill {
        name: String,
        mebibytes: usize,
    },
    /// Traps after it has written half a blob.
    WriteAndTrap {
        name: String,
    },
}

#[everwarm_sdk::http]
async fn blobs(request: Request) -> Result {
    if request.method() == Method::POST {
        let ask: Ask = request.into_body().json().await?;
        return Ok(answer(done(&ask).await).into_response());
    }
    let path = request.uri().path().to_owned();
    let path = path.trim_start_matches('/').split_once('/');
    let (container, name) = path.ok_or_else(|| Error::not_found("/<container>/<name>"))?;
    if request.method() == Method::PUT {
        return Ok(answer(put(container, name, request).await).into_response());
    }
    match get(container, name, request.headers()).await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(Error::not_found("there is no such blob")),
        Err(error) => Ok(answer(Err(error)).into_response()),
    }
}

fn answer(done: Result<Value, BlobError>) -> Json<Value> {
    Json(match done {
        Ok(value) => json!({ "ok": value }),
        Err(BlobError::AccessDenied) => json!({ "error": "access-denied" }),
        Err(BlobError::NoSuchContainer) => json!({ "error": "no-such-container" }),
        Err(BlobError::Changed) => json!({ "error": "changed" }),
        Err(error) => json!({ "error": error.to_string() }),
    })
}

fn info(info: &BlobInfo) -> Value {
    json!({
        "name": info.name,
        "size": info.size,
        "etag": info.etag,
        "content_type": info.content_type,
    })
}

fn field<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}

async fn put(container: &str, name: &str, request: Request) -> Result<Value, BlobError> {
    let (parts, mut body) = request.into_parts();
    let fields = &parts.headers;
    let condition = match (field(fields, "if-none-match"), field(fields, "if-match")) {
        (Some(_), _) => Condition::Absent,
        (None, Some(etag)) => Condition::Matches(etag.to_owned()),
        (None, None) => Condition::Any,
    };
    let container = Container::open(container)?;
    let mut upload = container
        .upload(name, field(fields, "content-type"))
        .await?;
    while let Some(chunk) = body.chunk().await {
        upload.write(chunk.map_err(BlobError::Body)?).await?;
    }
    Ok(info(&upload.finish(condition).await?))
}

async fn get(
    container: &str,
    name: &str,
    fields: &HeaderMap,
) -> Result<Option<Response>, BlobError> {
    let container = Container::open(container)?;
    let part = field(fields, "x-part").and_then(|part| part.split_once('+'));
    let blob = match part {
        None => container.get(name).await?,
        Some((start, len)) => {
            let number = |text: &str| text.parse().unwrap_or_default();
            container.get_part(name, number(start), number(len)).await?
        }
    };
    Ok(blob.map(|blob| {
        let info = blob.info();
        let mut response = Response::new(blob.into_body());
        if let Ok(etag) = format!("\"{}\"", info.etag).parse() {
            response.headers_mut().insert("etag", etag);
        }
        if let Some(Ok(content_type)) = info.content_type.map(|text| text.parse()) {
            response.headers_mut().insert("content-type", content_type);
        }
        response
    }))
}

async fn done(ask: &Ask) -> Result<Value, BlobError> {
    let container = Container::open(ask.container.as_deref().unwrap_or("photos"))?;
    Ok(match &ask.what {
        What::Open => Value::Null,
        What::Head { name } => container
            .head(name)
            .await?
            .map_or(Value::Null, |it| info(&it)),
        What::Put { name, text } => info(&container.put(name, text.clone()).await?),
        What::Get { name } => match container.get(name).await? {
            None => Value::Null,
            Some(blob) => json!(String::from_utf8_lossy(&blob.bytes().await?)),
        },
        What::List {
            prefix,
            cursor,
            count_max,
        } => {
            let page = container
                .list(prefix, cursor.as_deref(), *count_max)
                .await?;
            let names: Vec<_> = page.blobs.iter().map(|blob| &blob.name).collect();
            json!({ "names": names, "cursor": page.cursor })
        }
        What::Delete { name, matches } => {
            let condition = matches.clone().map_or(Condition::Any, Condition::Matches);
            json!(container.delete_if(name, condition).await?)
        }
        What::Copy { name, to, to_name } => {
            let to = Container::open(to)?;
            json!(container.copy(name, &to, to_name).await?.is_some())
        }
        What::Rename { name, to, to_name } => {
            let to = Container::open(to)?;
            json!(container.rename(name, &to, to_name).await?)
        }
        What::Hoard { count } => {
            let mut uploads = Vec::new();
            for number in 0..*count {
                uploads.push(container.upload(&number.to_string(), None).await?);
            }
            json!(uploads.len())
        }
        What::Fill { name, mebibytes } => {
            let mut upload = container.upload(name, None).await?;
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..*mebibytes {
                upload.write(&piece).await?;
            }
            info(&upload.finish(Condition::Any).await?)
        }
        What::WriteAndTrap { name } => {
            let mut upload = container.upload(name, None).await?;
            upload.write(vec![b'x'; 1 << 20]).await?;
            panic!("after half a blob");
        }
    })
}
