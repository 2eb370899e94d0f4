//! The way of a request whose route is that of files: what is there, who may have it, and the books. No instance, and no
//! other thread if the file is in memory.

use std::sync::Arc;
use std::time::Instant;

use everwarm_engine::invoke::GuestBody;
use everwarm_engine::own::Own;
use everwarm_engine::request::Request;
use http::{Method, Response, StatusCode};

use super::own_books::{OwnAnswerer, OwnBooks};
use super::visit::{Record, Visit};
use super::{Edge, Target};
use crate::admission::{Gate, Gated, Gates, Permit, Toll};
use crate::assets::{Content, Found, Mount, Reply, accepts_html, redirect, reply};
use crate::compress::ResponseBody;
use crate::head;
use crate::meter::{RequestId, Start};
use crate::pieces::Pieces;
use crate::respond::{Failure, respond};

/// What comes of asking for a file.
pub(super) enum Answered {
    /// A response.
    With(Response<ResponseBody>),
    /// There is none, and a function that would answer if there were no files.
    Behind(Arc<Target>),
}

/// Files that are asked for, and the node that is asked.
struct AskedFiles {
    edge: Own<Edge>,
    mount: Arc<Mount>,
}

impl Gated for AskedFiles {
    fn node(&self) -> &Gate {
        &self.edge.node
    }

    fn gates(&self) -> &Gates {
        &self.mount.site.gates
    }
}

/// Answers with a file, or says which function is to. A file that is there wins, then the page that stands in for what has
/// none, then the function.
pub(super) async fn answer(
    edge: &Own<Edge>,
    visit: &mut Visit,
    mount: Arc<Mount>,
    request: &Request,
) -> Result<Answered, Failure> {
    let (method, headers) = (request.method(), request.headers());
    let found = match mount.find(request.uri().path()).await {
        Ok(found) => found,
        Err(error) => {
            visit.reached.refused_by(mount.site.answerer());
            return Err(error.into());
        }
    };
    let is_asked_for = matches!(*method, Method::GET | Method::HEAD);
    let found = match found {
        Found::Nothing(Some(page)) if is_asked_for && accepts_html(headers) => Found::File(page),
        other => other,
    };
    let is_answered = is_asked_for && !matches!(found, Found::Nothing(_));
    if !is_answered && let Some(target) = mount.behind(head::host(request), request.uri().path()) {
        return Ok(Answered::Behind(Arc::clone(target)));
    }

    let asked = AskedFiles {
        edge: edge.clone(),
        mount,
    };
    let permit = match Permit::take(asked, Toll::Due(visit.started)) {
        Ok(permit) => permit,
        Err((refusal, asked)) => {
            visit.reached.refused_by(asked.mount.site.answerer());
            return Err(Failure::Refused(refusal));
        }
    };
    let result = match found {
        Found::File(file) if is_asked_for => {
            reply(&file, method, headers).await.map_err(Failure::from)
        }
        Found::Folder if is_asked_for => redirect(request.uri()).ok_or(Failure::NoFile),
        Found::File(_) | Found::Folder => Err(Failure::MethodNotAllowed),
        Found::Nothing(_) => Err(Failure::NoFile),
    };
    let books = Books {
        record: visit.take_record(),
        request_id: visit.request_id.clone(),
        started: visit.started,
        permit,
    };
    let is_head = *method == Method::HEAD;
    Ok(Answered::With(match result {
        Ok(reply) => responded(reply, books),
        Err(failure) => {
            let response = respond(&failure, &visit.request_id, is_head);
            let length = response.body().whole_len().unwrap_or(0);
            books.close(response.status(), length as u64, Some(&failure));
            response.map(ResponseBody::from)
        }
    }))
}

/// What is there goes out at once; the books of the rest close with its body.
fn responded(reply: Reply, books: Books) -> Response<ResponseBody> {
    let Reply {
        status,
        headers,
        content,
    } = reply;
    let body = match content {
        Content::Whole(bytes) => {
            books.close(status, bytes.len() as u64, None);
            GuestBody::full(bytes)
        }
        Content::Part(content, bytes) => {
            let on_end = Box::new(move |sent, failure: Option<Failure>| {
                books.close(status, sent, failure.as_ref());
            });
            GuestBody::other(Box::pin(Pieces::new(content, bytes, on_end)))
        }
    };
    let mut response = Response::new(ResponseBody::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The books of a request for a file, and its place.
struct Books {
    record: Option<Record>,
    request_id: RequestId,
    started: Instant,
    permit: Permit<AskedFiles>,
}

impl Books {
    fn close(self, status: StatusCode, bytes_out: u64, failure: Option<&Failure>) {
        let AskedFiles { edge, mount } = self.permit.give_back();
        let by = OwnAnswerer {
            tally: &mount.site.tally,
            answerer: mount.site.answerer(),
            start: Start::Asset,
        };
        let books = OwnBooks {
            record: self.record,
            request_id: &self.request_id,
            started: self.started,
        };
        books.close(&edge, &by, status, bytes_out, failure);
    }
}
