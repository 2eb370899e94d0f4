//! Faults that the SDK can't commit, on the raw WASI 0.2 bindings.
#![allow(missing_docs, reason = "the export macro's items carry none")]

mod reach;

use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasip2::http::proxy::export!(Misbehave);

struct Misbehave;

impl wasip2::exports::http::incoming_handler::Guest for Misbehave {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        if let Some(Ok(port)) = path.strip_prefix("/reach/").map(str::parse) {
            return answer(out, reach::attempts(port).as_bytes());
        }
        match path.as_str() {
            "/never-answer" => drop(out),
            "/keep-outparam" => std::mem::forget(out),
            "/answer-twice" => answer_twice(out),
            "/error-code" => {
                let code = ErrorCode::InternalError(Some("the guest said so".to_owned()));
                ResponseOutparam::set(out, Err(code));
            }
            "/no-body" => {
                ResponseOutparam::set(out, Ok(OutgoingResponse::new(Fields::new())));
            }
            "/unfinished-body" => unfinished_body(out),
            "/write-before-set" => write_before_set(out),
            "/write-unasked" => write_unasked(out),
            "/double-body" => double_body(out),
            "/trap-after-head" => trap_after_head(out),
            "/bad-header" => bad_header(out),
            _ => answer(out, b"ok\n"),
        }
    }
}

fn response() -> (OutgoingResponse, OutgoingBody) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a new response still has its body");
    (response, body)
}

fn write(body: &OutgoingBody, bytes: &[u8]) {
    let stream = body.write().expect("a new body still has its stream");
    for chunk in bytes.chunks(4096) {
        let _ = stream.blocking_write_and_flush(chunk);
    }
}

fn answer(out: ResponseOutparam, bytes: &[u8]) {
    let (response, body) = response();
    ResponseOutparam::set(out, Ok(response));
    write(&body, bytes);
    let _ = OutgoingBody::finish(body, None);
}

/// Takes the handle from the outparam, which the bindings don't allow, and uses it twice.
fn answer_twice(out: ResponseOutparam) {
    let handle = out.take_handle();
    drop(out);
    // SAFETY: the handle is the host's to check, which is what this fault is for.
    let first = unsafe { ResponseOutparam::from_handle(handle) };
    answer(first, b"first\n");
    // SAFETY: as above; the host has taken this handle already.
    let second = unsafe { ResponseOutparam::from_handle(handle) };
    answer(second, b"second\n");
}

fn unfinished_body(out: ResponseOutparam) {
    let (response, body) = response();
    ResponseOutparam::set(out, Ok(response));
    write(&body, b"half of it");
    drop(body);
}

/// Writes far more than a host's buffer before it sets the response.
fn write_before_set(out: ResponseOutparam) {
    let (response, body) = response();
    write(&body, &vec![b'x'; 1 << 20]);
    ResponseOutparam::set(out, Ok(response));
    let _ = OutgoingBody::finish(body, None);
}

/// Writes without asking how much the host takes, which traps (wasi:io/streams, `write`).
fn write_unasked(out: ResponseOutparam) {
    let (response, body) = response();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a new body still has its stream");
    let _ = stream.write(&vec![b'x'; 1 << 20]);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// Asks for the body and its stream a second time: both must be refused, not trap.
fn double_body(out: ResponseOutparam) {
    let (response, body) = response();
    let refused = response.body().is_err();
    let stream = body.write().expect("a new body still has its stream");
    let refused = refused && body.write().is_err();
    ResponseOutparam::set(out, Ok(response));
    let _ = stream.blocking_write_and_flush(if refused { b"refused\n" } else { b"allowed\n" });
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn trap_after_head(out: ResponseOutparam) {
    let (response, body) = response();
    ResponseOutparam::set(out, Ok(response));
    write(&body, b"before the trap");
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
}

/// Says which fields the host refuses.
fn bad_header(out: ResponseOutparam) {
    let fields = Fields::new();
    let refuse = |name: &str, value: &[u8]| u8::from(fields.append(name, value).is_err()) + b'0';
    let digits = [
        refuse("x-good", b"value"),
        refuse("bad name", b"value"),
        refuse("x-split", b"a\r\nb: c"),
        refuse("transfer-encoding", b"chunked"),
        refuse("connection", b"close"),
        b'\n',
    ];
    answer(out, &digits);
}
