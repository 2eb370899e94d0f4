//! Imports an interface that no host provides: deploying it must name the interface.
#![allow(missing_docs, reason = "the export macro's items carry none")]

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

mod bindings {
    #![allow(
        clippy::pedantic,
        clippy::undocumented_unsafe_blocks,
        reason = "generated"
    )]
    wit_bindgen::generate!({ path: "wit", world: "shop" });
}

wasip2::http::proxy::export!(Shop);

struct Shop;

impl wasip2::exports::http::incoming_handler::Guest for Shop {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let status = u16::try_from(bindings::acme::warehouse::stock::count("nuts"));
        let _ = response.set_status_code(status.unwrap_or(500));
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        if let Ok(body) = body {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
