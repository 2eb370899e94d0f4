//! The operations on blobs of apps.
//!
//! All need the scope `deploy`, as those on key-value data. A blob's name is any text, so it stands in the query.

use http::Method;

use super::{
    AFTER, APP, Body, LIMIT, Operation, Parameter, Place, Way, in_path, in_query, json, operation,
};
use crate::messages::{BlobInfo, BlobPage, BlobRemoved, Scope};

/// The field of a response that says when the blob was written, in milliseconds since 1970.
pub const CREATED_HEADER: &str = "everwarm-blob-created-ms";

const CONTAINER: Parameter = in_path(
    "container",
    "The container's name, as in `[[blobs]]` of the manifest.",
);
const NAME: Parameter = in_query(
    "name",
    "The blob's name: 1 to 1,024 bytes of UTF-8 without control characters.",
);
const IF_MATCH: Parameter = in_header(
    "if-match",
    "An etag in quotes. The blob has to have these contents, or nothing is done (412).",
);

const BLOB_PATH: &str = "/v1/apps/{app}/blobs/{container}/blob";

const fn in_header(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Header,
        meaning,
    }
}

/// List blobs.
pub const LIST_BLOBS: Operation = operation(
    "listBlobs",
    Way(
        &Method::GET,
        "/v1/apps/{app}/blobs/{container}",
        Scope::Deploy,
    ),
    "Lists the blobs of a container in the order of their names' bytes",
    &[
        APP,
        CONTAINER,
        in_query("prefix", "Those whose names begin with this alone."),
        AFTER,
        LIMIT,
    ],
    Body::Nothing,
    json::<BlobPage>(),
);

/// What is known of a blob.
pub const HEAD_BLOB: Operation = operation(
    "headBlob",
    Way(&Method::HEAD, BLOB_PATH, Scope::Deploy),
    "Tells what is known of a blob: the head of what `getBlob` gives",
    &[APP, CONTAINER, NAME],
    Body::Nothing,
    Body::Other {
        media_type: "application/octet-stream",
        meaning: "no bytes: all is in the head",
    },
);

/// Read a blob.
pub const GET_BLOB: Operation = operation(
    "getBlob",
    Way(&Method::GET, BLOB_PATH, Scope::Deploy),
    "Gives a blob, or a part of it. An answer that breaks off isn't all of it",
    &[
        APP,
        CONTAINER,
        NAME,
        in_header(
            "range",
            "One range of bytes (RFC 9110, section 14), as in `bytes=0-99`: answered with 206, or 416 when the blob ends before. Several ranges are answered with the whole.",
        ),
        in_header(
            "if-range",
            "The etag of the blob that the range is of; of another one the whole is given.",
        ),
    ],
    Body::Nothing,
    Body::Other {
        media_type: "application/octet-stream",
        meaning: "the blob's bytes, with its own `content-type`; `etag` names its contents, `everwarm-blob-created-ms` says when it was written",
    },
);

/// Write a blob.
pub const PUT_BLOB: Operation = operation(
    "putBlob",
    Way(&Method::PUT, BLOB_PATH, Scope::Deploy),
    "Writes a blob, in the place of what has the name. It is there once all of it has come, or not at all",
    &[
        APP,
        CONTAINER,
        NAME,
        in_header(
            "if-none-match",
            "`*`: there must be no blob of the name, or nothing is done (412).",
        ),
        IF_MATCH,
    ],
    Body::Other {
        media_type: "application/octet-stream",
        meaning: "the blob's bytes, 5 GiB at most, with its own `content-type`",
    },
    json::<BlobInfo>(),
);

/// Remove a blob.
pub const REMOVE_BLOB: Operation = operation(
    "removeBlob",
    Way(&Method::DELETE, BLOB_PATH, Scope::Deploy),
    "Removes a blob, if there is one. Whoever reads it reads on",
    &[APP, CONTAINER, NAME, IF_MATCH],
    Body::Nothing,
    json::<BlobRemoved>(),
);
