//! One file and what was compressed of it: what the head of its responses says, and its bytes, kept in memory while they
//! are asked for. Knows where they are in the bundle, which checks every read.

use std::sync::Arc;

use arc_swap::Guard;
use bytes::Bytes;
use everwarm_bundle::{FilesError, Held, Kept, PIECE_BYTES, Part, Stored, WHOLE_BYTES_MAX, media};
use http::{HeaderMap, HeaderValue, header};

use crate::compress::{Coding, best_of};
use crate::head::REQUEST_ID;
use crate::pieces::{Reading, Source};
use crate::respond::Failure;

const REVALIDATE: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What is taken for the head of a response that is kept.
const HEAD_BYTES: u64 = 2_048;

/// How long others may keep a file, and what else its answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is asked for again each time.
    File,
    /// It never changes under its name.
    Immutable,
    /// It answers for another path, and only those who want a page.
    Fallback,
}

/// A file as it is served.
#[derive(Debug)]
pub(crate) struct File {
    content_type: HeaderValue,
    kind: Kind,
    plain: Arc<Content>,
    /// The smallest first.
    variants: Vec<(Coding, Arc<Content>)>,
    codings: Vec<Coding>,
}

/// Bytes that a file can be sent as.
#[derive(Debug)]
pub(crate) struct Content {
    part: Part,
    etag: HeaderValue,
    bundle: Arc<Stored>,
    held: Arc<Kept<Whole>>,
}

/// A response that is kept: its head with all that doesn't depend on the request, and its bytes.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl File {
    pub(super) fn new(
        name: &str,
        file: &everwarm_bundle::File,
        kind: Kind,
        bundle: &Arc<Stored>,
    ) -> Arc<Self> {
        let content_type = HeaderValue::try_from(media::content_type(name));
        let variants: Vec<(Coding, Arc<Content>)> = file
            .variants
            .iter()
            .map(|(coding, part)| ((*coding).into(), Content::new(part, bundle)))
            .collect();
        Arc::new(Self {
            content_type: content_type
                .unwrap_or(HeaderValue::from_static("application/octet-stream")),
            kind,
            plain: Content::new(&file.plain, bundle),
            codings: variants.iter().map(|(coding, _)| *coding).collect(),
            variants,
        })
    }

    /// The bytes that the client likes best; of what it likes alike, the fewest.
    pub(super) fn choose(&self, headers: &HeaderMap) -> (Option<Coding>, &Arc<Content>) {
        if self.variants.is_empty() {
            return (None, &self.plain);
        }
        let best = best_of(headers, &self.codings);
        let found = best.and_then(|best| self.variants.iter().find(|(coding, _)| *coding == best));
        found.map_or((None, &self.plain), |(coding, content)| {
            (Some(*coding), content)
        })
    }

    /// The fields that a response has whatever part of the content it is, and one that there is none of.
    pub(super) fn fields(&self, etag: &HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        let cache = match self.kind {
            Kind::Immutable => IMMUTABLE,
            Kind::File | Kind::Fallback => REVALIDATE,
        };
        headers.insert(header::CACHE_CONTROL, cache);
        headers.insert(header::ETAG, etag.clone());
        let vary = match (self.kind, self.variants.is_empty()) {
            (Kind::Fallback, true) => Some("accept"),
            (Kind::Fallback, false) => Some("accept, accept-encoding"),
            (_, false) => Some("accept-encoding"),
            (_, true) => None,
        };
        if let Some(vary) = vary {
            headers.insert(header::VARY, HeaderValue::from_static(vary));
        }
        headers
    }

    /// The head of a response with all of the content.
    pub(super) fn head(&self, coding: Option<Coding>, content: &Content) -> HeaderMap {
        let mut headers = self.fields(&content.etag);
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::CONTENT_LENGTH, content.part.length.into());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        if let Some(coding) = coding {
            let coding = HeaderValue::from_static(coding.as_str());
            headers.insert(header::CONTENT_ENCODING, coding);
        }
        headers
    }
}

impl Content {
    fn new(part: &Part, bundle: &Arc<Stored>) -> Arc<Self> {
        let etag = HeaderValue::try_from(format!("\"{}\"", part.digest.hex()));
        Arc::new(Self {
            part: part.clone(),
            etag: etag.expect("hexadecimal digits in quotes are a value"),
            bundle: Arc::clone(bundle),
            held: Arc::default(),
        })
    }

    pub(super) fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        self.part.length
    }

    /// Whether it is small enough to be kept.
    pub(super) fn is_kept(&self) -> bool {
        self.part.length <= WHOLE_BYTES_MAX
    }

    /// What is kept of it, if it is.
    pub(super) fn held(&self) -> Option<Guard<Option<Arc<Held<Whole>>>>> {
        self.held.get()
    }

    /// All of it: as it is kept, or read from the disk and kept from now on. However many ask, it is read once.
    pub(super) async fn bytes(
        &self,
        file: &File,
        coding: Option<Coding>,
    ) -> Result<Bytes, FilesError> {
        if let Some(held) = self.held().as_deref().and_then(Option::as_ref) {
            return Ok(held.bytes.clone());
        }
        let mut headers = file.head(coding, self);
        // Each response gets its own: there is a place for it already.
        headers.insert(REQUEST_ID, HeaderValue::from_static("-"));
        let read = self.bundle.read(&self.part, 0);
        let read = async move {
            let bytes = read.await?;
            let size = bytes.len() as u64 + HEAD_BYTES;
            Ok((Whole { headers, bytes }, size))
        };
        let held = self.held.get_or_make(self.bundle.library(), read).await?;
        Ok(held.bytes.clone())
    }
}

/// Read on the threads for what blocks.
impl Source for Arc<Content> {
    const PIECE_BYTES: u64 = PIECE_BYTES as u64;
    type Error = FilesError;

    fn read(&self, piece: usize) -> Reading<FilesError> {
        let content = Self::clone(self);
        Box::pin(async move { content.bundle.read(&content.part, piece).await })
    }

    fn failed(&mut self, error: FilesError) -> Failure {
        error.into()
    }
}
