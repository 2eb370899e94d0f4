//! A response as WASI 0.3 takes it: the head is returned, the body follows on a stream.

use std::future::poll_fn;
use std::pin::pin;

use ::http::HeaderMap;
use http_body::Body as _;
use wasip3::http::types::{ErrorCode, Fields, Response as HostResponse};
use wasip3::wit_bindgen::rt::async_support::StreamWriter;
use wasip3::{wit_future, wit_stream};

use super::super::head;
use super::scope::Scope;
use crate::response::declare_length;
use crate::{Body, Response};

/// Makes the host's response and starts to write its body.
pub(super) fn send(mut response: Response, scope: &Scope) -> Result<HostResponse, ErrorCode> {
    declare_length(&mut response);
    let (parts, body) = response.into_parts();
    let fields = fields(&parts.headers).ok_or(ErrorCode::InternalError(None))?;
    let (ended, trailers) = wit_future::new(|| Ok(None));
    let has_body = !body.is_end_stream();
    let (writer, contents) = has_body.then(wit_stream::new).unzip();
    let (outgoing, _sent) = HostResponse::new(fields, contents, trailers);
    let status = parts.status.as_u16();
    if status != 200 && outgoing.set_status_code(status).is_err() {
        eprintln!("the host refused the status {status}: it is sent as 200");
    }
    if let Some(writer) = writer {
        let writing = scope.clone();
        scope.spawn(async move {
            match copy(writer, body).await {
                // The end without trailers is what dropping `ended` says.
                Ok(None) => drop(ended),
                Ok(Some(trailers)) => {
                    let _ = ended.write(Ok(self::fields(&trailers))).await;
                }
                Err(error) => {
                    eprintln!("the response's body broke off: {error}");
                    let code = ErrorCode::InternalError(None);
                    let _ = ended.write(Err(code)).await;
                }
            }
            writing.end_response();
        });
    } else {
        drop(ended);
        scope.end_response();
    }
    Ok(outgoing)
}

fn fields(headers: &HeaderMap) -> Option<Fields> {
    head::fields(headers, |entries| {
        let entries: Vec<(String, Vec<u8>)> = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect();
        Fields::from_list(&entries).ok()
    })
}

/// Writes the body to its end. A client that has gone ends it early, and is no error of ours.
async fn copy(
    mut writer: StreamWriter<u8>,
    body: Body,
) -> Result<Option<HeaderMap>, crate::BodyError> {
    let mut body = pin!(body);
    let mut trailers = None;
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        match frame?.into_data() {
            Ok(data) => {
                let unwritten = writer.write_all(data.into()).await;
                if !unwritten.is_empty() {
                    break;
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(trailers)
}
