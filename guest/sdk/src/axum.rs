//! This crate's types as axum's: axum handlers return them, axum responses carry them.

use axum_core::response::IntoResponse;

use crate::{Body, Error, Response};

impl IntoResponse for Error {
    fn into_response(self) -> axum_core::response::Response {
        let response: Response = crate::IntoResponse::into_response(self);
        response.map(axum_core::body::Body::new)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> axum_core::response::Response {
        axum_core::response::Response::new(axum_core::body::Body::new(self))
    }
}
