//! A response as WASI 0.2 takes it: the head is set first, then the body is written.

use super::abi::{OutgoingResponse, Outparam};
use super::writer::{Broken, fields, write};
use crate::Response;
use crate::response::declare_length;

pub(super) async fn send(mut response: Response, out: Outparam) {
    declare_length(&mut response);
    let (parts, body) = response.into_parts();
    // Without fields there is nothing to answer with: the host says so to the client.
    let Some(fields) = fields(&parts.headers) else {
        return;
    };
    let outgoing = OutgoingResponse::new(fields);
    let status = parts.status.as_u16();
    if status != 200 && !outgoing.set_status(status) {
        eprintln!("the host refused the status {status}: it is sent as 200");
    }
    // A response that was just made still has its body.
    let Some(outgoing_body) = outgoing.body() else {
        return;
    };
    out.set(outgoing);
    match write(outgoing_body, body).await {
        // A client that has gone ends the body early, and is no error of ours.
        Ok(()) | Err(Broken::Unread) => {}
        Err(Broken::Failed(error)) => eprintln!("the response's body broke off: {error}"),
        Err(Broken::Refused(_)) => eprintln!("the host refused the end of the response's body"),
    }
}
