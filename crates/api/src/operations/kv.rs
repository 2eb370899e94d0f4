//! The operations on key-value data of apps.
//!
//! All need the scope `deploy`: what functions keep is more than what there is of apps, which `read` shows. A key is
//! any UTF-8, so it stands in the query.

use http::Method;

use super::{
    AFTER, APP, Body, LIMIT, Operation, Parameter, Way, in_path, in_query, json, operation,
};
use crate::messages::{KvEntries, KvKeyPage, KvKeys, KvPut, KvRemoved, Scope};

/// The field of a response that names the state of the entry that it has.
pub const REVISION_HEADER: &str = "everwarm-kv-revision";
/// The field of a response that says when the entry is gone, in milliseconds since 1970.
pub const EXPIRES_HEADER: &str = "everwarm-kv-expires-ms";

const STORE: Parameter = in_path(
    "store",
    "The key-value store's name: 1 to 64 visible ASCII characters. It needn't be made.",
);
const KEY: Parameter = in_query("key", "The key: 1 to 512 bytes of UTF-8 without a NUL.");

const VALUE_PATH: &str = "/v1/apps/{app}/kv/{store}/value";

/// Read a value.
pub const GET_VALUE: Operation = operation(
    "getValue",
    Way(&Method::GET, VALUE_PATH, Scope::Deploy),
    "Gives the value under a key",
    &[APP, STORE, KEY],
    Body::Nothing,
    Body::Other {
        media_type: "application/octet-stream",
        meaning: "the value's bytes; `everwarm-kv-revision` names this state of the entry, `everwarm-kv-expires-ms` says when it is gone",
    },
);

/// Keep a value.
pub const PUT_VALUE: Operation = operation(
    "putValue",
    Way(&Method::PUT, VALUE_PATH, Scope::Deploy),
    "Keeps a value under a key, in the place of what was there, its expiry with it",
    &[
        APP,
        STORE,
        KEY,
        in_query(
            "ttl_s",
            "Seconds after which it is gone, 1 at least. Absent: it stays.",
        ),
    ],
    Body::Other {
        media_type: "application/octet-stream",
        meaning: "the value's bytes, 1 MiB at most",
    },
    json::<KvPut>(),
);

/// Forget a value.
pub const REMOVE_VALUE: Operation = operation(
    "removeValue",
    Way(&Method::DELETE, VALUE_PATH, Scope::Deploy),
    "Forgets what is kept under a key, if there is something",
    &[APP, STORE, KEY],
    Body::Nothing,
    Body::Nothing,
);

/// List keys.
pub const LIST_KEYS: Operation = operation(
    "listKeys",
    Way(
        &Method::GET,
        "/v1/apps/{app}/kv/{store}/keys",
        Scope::Deploy,
    ),
    "Lists keys in the order of their bytes",
    &[
        APP,
        STORE,
        in_query("prefix", "Keys that begin with this alone."),
        AFTER,
        LIMIT,
    ],
    Body::Nothing,
    json::<KvKeyPage>(),
);

/// Read several values.
pub const READ_VALUES: Operation = operation(
    "readValues",
    Way(
        &Method::POST,
        "/v1/apps/{app}/kv/{store}/read",
        Scope::Deploy,
    ),
    "Gives what is kept under each of these keys, as of one moment; keys without anything are left out",
    &[APP, STORE],
    json::<KvKeys>(),
    json::<KvEntries>(),
);

/// Keep several values.
pub const WRITE_VALUES: Operation = operation(
    "writeValues",
    Way(
        &Method::POST,
        "/v1/apps/{app}/kv/{store}/write",
        Scope::Deploy,
    ),
    "Keeps several values, all or none. Of two under the same key the later one stays",
    &[APP, STORE],
    json::<KvEntries>(),
    Body::Nothing,
);

/// Forget several values.
pub const REMOVE_VALUES: Operation = operation(
    "removeValues",
    Way(
        &Method::POST,
        "/v1/apps/{app}/kv/{store}/remove",
        Scope::Deploy,
    ),
    "Forgets what is kept under each of these keys, all or none",
    &[APP, STORE],
    json::<KvKeys>(),
    json::<KvRemoved>(),
);
