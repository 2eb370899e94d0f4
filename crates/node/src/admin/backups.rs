//! A backup as the body of an answer.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::Admin;
use super::failure::Failed;
use crate::backup::{Backup, BackupError};

pub(super) async fn back_up(State(admin): State<Admin>) -> Result<Response, Failed> {
    let mut backup = admin.node.back_up();
    // Until it has begun, what is wrong can be said.
    let first = backup.piece().await?;
    let rest = stream::unfold(Some(backup), |backup| async move {
        let mut backup: Backup = backup?;
        match backup.piece().await {
            Ok(piece) => piece.map(|piece| (Ok(piece), Some(backup))),
            Err(error) => {
                tracing::error!(%error, "a backup broke off");
                Some((Err(error), None))
            }
        }
    });
    let first = stream::iter(first.map(Ok::<_, BackupError>));
    let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}
