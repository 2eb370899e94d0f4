//! Answers at once and works later: who signs up is sent a mail by a queue, and a schedule counts them each morning.

use everwarm_sdk::http::{Method, StatusCode};
use everwarm_sdk::kv::Store;
use everwarm_sdk::queue::{self, Delivery, Message, Trigger};
use everwarm_sdk::{Error, IntoResponse as _, Json, Request, Response, Result};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SignUp {
    name: String,
}

#[everwarm_sdk::http]
async fn worker(request: Request) -> Result<Response> {
    // Nobody but the node can say that a request is a delivery.
    match Delivery::of(request.headers()) {
        Some(delivery) => match &delivery.trigger {
            Trigger::Queue(_) => mail(&delivery, request).await,
            Trigger::Schedule(_) => digest().await,
        },
        None => sign_up(request).await,
    }
}

/// Once a POST is answered, the mail will be sent, whatever happens to the node. GET says how many were sent.
async fn sign_up(request: Request) -> Result<Response> {
    match *request.method() {
        Method::POST => {}
        Method::GET => {
            let sent = format!("{} mails were sent\n", count().await?);
            return Ok(sent.into_response());
        }
        _ => return Err(Error::new(StatusCode::METHOD_NOT_ALLOWED)),
    }
    let name = request.into_body().text().await?;
    if name.is_empty() {
        return Err(Error::bad_request("who signs up has a name"));
    }
    let id = queue::send("mails", Message::json(&SignUp { name })?).await?;
    Ok((StatusCode::ACCEPTED, Json(id)).into_response())
}

/// A message may be delivered more than once: what was done under its id isn't done again.
async fn mail(delivery: &Delivery, request: Request) -> Result<Response> {
    let sent = Store::open("default")?;
    if sent.exists(&delivery.id).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let body = request.into_body().bytes().await?;
    let sign_up: SignUp = serde_json::from_slice(&body)?;
    println!("Welcome, {}!", sign_up.name);
    sent.set(&delivery.id, sign_up.name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn digest() -> Result<Response> {
    println!("{} have signed up", count().await?);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// How many mails were sent.
async fn count() -> Result<usize> {
    let sent = Store::open("default")?;
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = sent.keys(cursor.as_deref()).await?;
        count += page.keys.len();
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::http::Request;
    use everwarm_sdk::kv::Store;
    use everwarm_sdk::testing::{block_on, call, sent_to};
    use everwarm_sdk::{Body, http};

    use super::worker;

    fn ask(request: http::request::Builder, body: &'static str) -> u16 {
        let request = request.body(Body::from(body)).expect("a valid request");
        block_on(call(worker, request)).status().as_u16()
    }

    fn delivery(trigger: &str) -> http::request::Builder {
        Request::post("/queues/mails")
            .header("everwarm-trigger", trigger)
            .header("everwarm-delivery-id", "mails-0000000000000001")
            .header("everwarm-attempt", "1")
            .header("everwarm-sent-at", "1700000000000")
    }

    #[test]
    fn who_signs_up_is_sent_a_mail_later() {
        assert_eq!(ask(Request::post("/signups"), "Ada"), 202);
        let sent = sent_to("mails");
        assert_eq!(sent.len(), 1);
        assert_eq!(ask(Request::post("/signups"), ""), 400);
        assert_eq!(ask(Request::get("/signups"), ""), 200);
        assert_eq!(ask(Request::put("/signups"), ""), 405);
    }

    #[test]
    fn mail_that_is_delivered_twice_is_sent_once() {
        let mail = || ask(delivery("queue/mails"), r#"{"name":"Ada"}"#);
        assert_eq!((mail(), mail()), (204, 204));
        let store = Store::open("default").expect("a store");
        let name = block_on(store.get("mails-0000000000000001")).expect("it can be read");
        assert_eq!(name.as_deref(), Some(&b"Ada"[..]));
        assert_eq!(ask(delivery("schedule/digest"), ""), 204);
    }
}
