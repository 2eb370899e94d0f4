//! Signs the body of a webhook with a secret (`POST /sign`), and checks such a signature (`POST /check`), as many
//! services do: HMAC-SHA256, in hexadecimal digits behind `sha256=`.

use everwarm_sdk::http::StatusCode;
use everwarm_sdk::{Error, IntoResponse as _, Request, Response, Result, config};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Where the signature is, unless the manifest says otherwise.
const HEADER: &str = "x-signature-256";

#[everwarm_sdk::http]
async fn webhook(request: Request) -> Result {
    let header = config::get("SIGNATURE_HEADER")?;
    let header = header.as_deref().unwrap_or(HEADER);
    let is_check = request.uri().path() == "/check";
    let sent = request.headers().get(header).cloned();
    // Asked for with each request: a key that is set anew is used from then on.
    let key = config::get("WEBHOOK_KEY")?
        .ok_or_else(|| Error::internal("the manifest grants no WEBHOOK_KEY"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    mac.update(&request.into_body().bytes().await?);
    if !is_check {
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let body = format!("{signature}\n");
        return Ok(Response::builder()
            .header(header, signature)
            .body(body.into())?);
    }
    let sent = sent.as_ref().and_then(|value| value.to_str().ok());
    let digits = sent.and_then(|text| text.strip_prefix("sha256="));
    let signature = digits.and_then(|digits| hex::decode(digits).ok());
    // In constant time.
    match signature.map(|signature| mac.verify_slice(&signature)) {
        Some(Ok(())) => Ok("it is signed\n".into_response()),
        _ => Err(Error::new(StatusCode::FORBIDDEN).with_detail("the signature is none")),
    }
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::testing::{block_on, call, fail_config, set_config};
    use everwarm_sdk::{Body, Request, Response};

    use super::{HEADER, webhook};

    fn post(path: &str, body: &str, signature: &str) -> Response {
        let request = Request::post(path)
            .header(HEADER, signature)
            .body(Body::from(body.to_owned()));
        block_on(call(webhook, request.expect("a valid request")))
    }

    fn signed(body: &str) -> String {
        let response = post("/sign", body, "");
        let signature = response.headers().get(HEADER).expect("a signature");
        signature.to_str().expect("text").to_owned()
    }

    #[test]
    fn signature_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        set_config("WEBHOOK_KEY", "Jefe");
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signed("what do ya want for nothing?"), expected);
    }

    #[test]
    fn what_was_signed_is_taken_and_nothing_else() {
        set_config("WEBHOOK_KEY", "one");
        let signature = signed("paid");
        assert_eq!(post("/check", "paid", &signature).status(), 200);
        assert_eq!(post("/check", "Paid", &signature).status(), 403);
        assert_eq!(post("/check", "paid", "sha256=00").status(), 403);
        assert_eq!(post("/check", "paid", "").status(), 403);
        set_config("WEBHOOK_KEY", "two");
        assert_eq!(post("/check", "paid", &signature).status(), 403);
    }

    #[test]
    fn key_that_is_not_set_is_a_500_and_no_signature() {
        fail_config("WEBHOOK_KEY", "it isn't set");
        let response = post("/sign", "paid", "");
        assert_eq!(response.status(), 500);
        assert!(response.headers().get(HEADER).is_none());
    }
}
