//! Conversions between `wasi:http/types` 0.3 and the `http` crate.

use super::bindings::wasi::http::types::{self, Method, Scheme};

crate::convert::http_conversions!(Method, Scheme, types);
