//! Compression of responses for clients that take it.
//!
//! Owns which responses are compressed and what their heads then say (RFC 9110, sections 8.4, 8.8 and 12.5.3).
//! Codings are in `coding`, what a client takes in `accept`, the body in `body`. Works on the lane, in pieces so
//! short that others come in between.

mod accept;
mod body;
mod coding;

use std::sync::Arc;

use bytes::Bytes;
use everwarm_bundle::media;
use everwarm_cache::entry::Entry;
use everwarm_engine::invoke::GuestBody;
use everwarm_manifest::Compress;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

pub(crate) use self::accept::best_of;
pub use self::body::ResponseBody;
pub(crate) use self::coding::Coding;
use self::coding::Encoder;

/// Bytes of a body below which compressing costs more than it saves: they fit into one packet anyway.
const BYTES_MIN: u64 = 1_024;
/// Bytes that are compressed in one go: a few tenths of a millisecond.
const PIECE_BYTES: usize = 16 << 10;

/// What is left of a request once a guest has it: whether and how its response may be compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    rule: Compress,
    coding: Option<Coding>,
    is_head: bool,
}

/// Why a response is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its length is known.
    Whole,
    /// Nobody knows when it ends.
    Stream,
}

impl Wish {
    pub(crate) fn of(headers: &HeaderMap, rule: Compress, is_head: bool) -> Self {
        let asks = rule != Compress::Never;
        Self {
            rule,
            coding: asks.then(|| accept::best(headers)).flatten(),
            is_head,
        }
    }
}

/// The response as it goes to the client.
pub(crate) async fn response(answer: Response<GuestBody>, wish: Wish) -> Response<ResponseBody> {
    // Most responses are short, and few others are looked at for long.
    let length = answer.body().whole_len();
    let is_short = !wish.is_head && length.is_some_and(|length| (length as u64) < BYTES_MIN);
    if wish.rule == Compress::Never || is_short {
        return answer.map(ResponseBody::from);
    }
    // In a box, so that the futures of those that are left as they are stay small.
    Box::pin(looked_at(answer, wish)).await
}

async fn looked_at(answer: Response<GuestBody>, wish: Wish) -> Response<ResponseBody> {
    let (mut parts, body) = answer.into_parts();
    let Some(kind) =
        kind(&parts.headers, &body, wish).filter(|_| is_worth_it(parts.status, &parts.headers))
    else {
        return Response::from_parts(parts, body.into());
    };
    // What was sent depends on what was asked for, also where nothing was compressed.
    vary(&mut parts.headers);
    let Some(coding) = wish.coding else {
        return Response::from_parts(parts, body.into());
    };
    let body = match body.into_whole() {
        // To HEAD is told what GET would be, but for the length: that isn't known.
        Ok(_) if wish.is_head => {
            encoded(&mut parts.headers, coding, None);
            GuestBody::full(Bytes::new()).into()
        }
        Ok(whole) => match compressed(parts.extensions.remove(), &whole, coding).await {
            Some(compressed) => {
                encoded(&mut parts.headers, coding, Some(compressed.len()));
                GuestBody::full(compressed).into()
            }
            None => GuestBody::full(whole).into(),
        },
        Err(streaming) => match Encoder::new(coding, None) {
            Ok(encoder) => {
                encoded(&mut parts.headers, coding, None);
                ResponseBody::compressed(streaming, encoder, kind == Kind::Stream)
            }
            Err(error) => {
                tracing::warn!(%error, "a response could not be compressed");
                streaming.into()
            }
        },
    };
    Response::from_parts(parts, body)
}

/// A response whose content is that of an answer which is kept: what is made of it is kept with it.
#[derive(Clone)]
pub(crate) struct OfKept(pub(crate) Arc<Entry>);

async fn compressed(kept: Option<OfKept>, whole: &Bytes, coding: Coding) -> Option<Bytes> {
    let Some(OfKept(entry)) = kept else {
        return compress_whole(whole, coding).await;
    };
    if let Some(made) = entry.coded.get(coding.as_str()) {
        return Some(made);
    }
    let made = compress_whole(whole, coding).await?;
    entry.coded.keep(coding.as_str(), &made);
    Some(made)
}

/// Whether a content that is there is compressed for clients that take it, where its function doesn't forbid it.
pub(crate) fn is_whole_and_worth_it(
    status: StatusCode,
    headers: &HeaderMap,
    length: usize,
) -> bool {
    length as u64 >= BYTES_MIN && is_worth_it(status, headers)
}

/// Which kind of response it is, unless it is one that isn't compressed.
fn kind(headers: &HeaderMap, body: &GuestBody, wish: Wish) -> Option<Kind> {
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let whole = body.whole_len().map(|length| length as u64);
    match declared.or(whole.filter(|_| !wish.is_head)) {
        Some(length) => (length >= BYTES_MIN).then_some(Kind::Whole),
        None => (wish.rule == Compress::Streams).then_some(Kind::Stream),
    }
}

fn is_worth_it(status: StatusCode, headers: &HeaderMap) -> bool {
    let has_content = !matches!(
        status,
        StatusCode::NO_CONTENT
            | StatusCode::RESET_CONTENT
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
    );
    has_content
        && !AS_IT_IS.iter().any(|name| headers.contains_key(name))
        && may_transform(headers)
        && is_compressible(headers)
}

/// Fields that say that the content is encoded already, is a part, or what its bytes are.
static AS_IT_IS: [HeaderName; 6] = [
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// RFC 9111, section 5.2.2.6.
fn may_transform(headers: &HeaderMap) -> bool {
    !options(headers, &header::CACHE_CONTROL)
        .any(|option| option.eq_ignore_ascii_case("no-transform"))
}

fn options<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h str> + use<'h> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

/// By the media type.
fn is_compressible(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let Some(essence) = value
        .to_str()
        .ok()
        .and_then(|value| value.split(';').next())
    else {
        return false;
    };
    let essence = essence.trim().to_ascii_lowercase();
    media::is_compressible(&essence)
}

pub(crate) fn vary(headers: &mut HeaderMap) {
    let says = |option: &str| option == "*" || option.eq_ignore_ascii_case("accept-encoding");
    if !options(headers, &header::VARY).any(says) {
        let value = HeaderValue::from_static("accept-encoding");
        headers.append(header::VARY, value);
    }
}

/// What the head says of a body that was compressed.
fn encoded(headers: &mut HeaderMap, coding: Coding, length: Option<usize>) {
    let name = HeaderValue::from_static(coding.as_str());
    headers.insert(header::CONTENT_ENCODING, name);
    match length {
        Some(length) => headers.insert(header::CONTENT_LENGTH, length.into()),
        None => headers.remove(header::CONTENT_LENGTH),
    };
    // A part of what the function has is no part of this.
    headers.remove(header::ACCEPT_RANGES);
    // Its bytes are others now, and a strong validator promises the same ones (RFC 9110, section 8.8.1).
    let weak = headers.get(header::ETAG).and_then(|tag| {
        let strong = tag.as_bytes().starts_with(b"\"");
        strong.then(|| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok())?
    });
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
}

/// `None` when nothing is gained. Others come in between two pieces.
async fn compress_whole(whole: &Bytes, coding: Coding) -> Option<Bytes> {
    let mut encoder = Encoder::new(coding, Some(whole.len())).ok()?;
    let mut compressed = Vec::with_capacity(whole.len() / 3);
    let mut pieces = whole.chunks(PIECE_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        encoder.take(piece).ok()?;
        if pieces.peek().is_some() {
            tokio::task::yield_now().await;
        }
    }
    encoder.finish(&mut compressed).ok()?;
    (compressed.len() < whole.len()).then(|| compressed.into())
}

#[cfg(test)]
mod tests;
