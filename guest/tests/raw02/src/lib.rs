//! Hello on the raw WASI 0.2 bindings: the fewest host calls that answer a request. The SDK's own
//! hello is measured against this.
#![allow(missing_docs, reason = "the export macro's items carry none")]

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasip2::http::proxy::export!(Hello);

struct Hello;

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        drop(request);
        let fields = Fields::from_list(&[
            (
                "content-type".to_owned(),
                b"text/plain; charset=utf-8".to_vec(),
            ),
            ("content-length".to_owned(), b"20".to_vec()),
        ])
        .expect("both fields are valid");
        let response = OutgoingResponse::new(fields);
        let body = response.body().expect("a new response still has its body");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("a new body still has its stream");
        if stream.check_write().is_ok_and(|room| room >= 20) {
            let _ = stream.write(b"Hello from Everwarm\n");
        } else {
            let _ = stream.blocking_write_and_flush(b"Hello from Everwarm\n");
        }
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
