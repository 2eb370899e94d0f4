//! The response to a request for a file: the whole of it, a part, that the client has it, or that it is elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use everwarm_bundle::FilesError;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::conditions::{Range, has_already, range};
use super::file::{Content as Source, File};

/// A response without its books.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

/// What a response is made of.
pub(crate) enum Content {
    /// It is there.
    Whole(Bytes),
    /// It is on the disk: these bytes of it.
    Part(Arc<Source>, std::ops::Range<u64>),
}

impl Reply {
    fn empty(status: StatusCode, headers: HeaderMap) -> Self {
        Self {
            status,
            headers,
            content: Content::Whole(Bytes::new()),
        }
    }
}

/// Answers GET or HEAD.
pub(crate) async fn reply(
    file: &Arc<File>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Reply, FilesError> {
    let (coding, content) = file.choose(headers);
    let is_head = method == Method::HEAD;
    // Few requests have one of these, and most of those that have none find what they want.
    let is_plain = !headers.contains_key(header::IF_NONE_MATCH)
        && (is_head || !headers.contains_key(header::RANGE));
    if is_plain && let Some(held) = content.held().as_deref().and_then(Option::as_ref) {
        return Ok(Reply {
            status: StatusCode::OK,
            headers: held.headers.clone(),
            content: Content::Whole(if is_head {
                Bytes::new()
            } else {
                held.bytes.clone()
            }),
        });
    }
    if has_already(headers, Some(content.etag())) {
        return Ok(Reply::empty(
            StatusCode::NOT_MODIFIED,
            file.fields(content.etag()),
        ));
    }
    let mut fields = file.head(coding, content);
    if is_head {
        return Ok(Reply::empty(StatusCode::OK, fields));
    }
    let length = content.length();
    let (status, bytes) = match range(headers, Some(content.etag()), length) {
        Range::Whole => (StatusCode::OK, 0..length),
        Range::Part(first, last) => {
            let told = format!("bytes {first}-{last}/{length}");
            set(&mut fields, header::CONTENT_RANGE, &told);
            fields.insert(header::CONTENT_LENGTH, (last - first + 1).into());
            (StatusCode::PARTIAL_CONTENT, first..last + 1)
        }
        Range::None => {
            let mut fields = file.fields(content.etag());
            set(
                &mut fields,
                header::CONTENT_RANGE,
                &format!("bytes */{length}"),
            );
            return Ok(Reply::empty(StatusCode::RANGE_NOT_SATISFIABLE, fields));
        }
    };
    let sent = if content.is_kept() {
        let all = content.bytes(file, coding).await?;
        // Neither is larger than what is kept.
        let at = |byte: u64| usize::try_from(byte).unwrap_or(0).min(all.len());
        Content::Whole(all.slice(at(bytes.start)..at(bytes.end)))
    } else {
        Content::Part(Arc::clone(content), bytes)
    };
    Ok(Reply {
        status,
        headers: fields,
        content: sent,
    })
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    let value = HeaderValue::from_str(value);
    headers.insert(
        name,
        value.expect("numbers and what stands between them are a value"),
    );
}

/// From a folder's path to the one with a slash at its end, the query kept if it can be told. `None` for a path that can't.
pub(crate) fn redirect(uri: &Uri) -> Option<Reply> {
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let location = HeaderValue::try_from(format!("{}/{query}", uri.path()))
        .or_else(|_| HeaderValue::try_from(format!("{}/", uri.path())));
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::LOCATION, location.ok()?);
    headers.insert(header::CONTENT_LENGTH, 0.into());
    // For ever is what browsers take it for otherwise.
    let revalidate = HeaderValue::from_static("public, max-age=0, must-revalidate");
    headers.insert(header::CACHE_CONTROL, revalidate);
    Some(Reply::empty(StatusCode::PERMANENT_REDIRECT, headers))
}
