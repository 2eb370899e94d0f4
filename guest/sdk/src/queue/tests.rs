//! Queues against the host of unit tests.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderValue};

use super::{Batch, Delivery, Message, QueueError, Trigger, send, send_all};
use crate::testing::{block_on, call, sent_to};
use crate::{Body, Request, Response};

#[test]
fn what_is_sent_is_there_in_its_order_and_each_has_an_id() {
    let first = block_on(send("mails", "hello")).expect("it is sent");
    let more = [
        Message::json(&[1, 2]).expect("it is JSON"),
        Message::new([0xff]).after(Duration::from_secs(5)),
    ];
    let ids = block_on(send_all("mails", &more)).expect("they are sent");
    assert_eq!(ids.len(), 2);
    assert!(first < ids[0] && ids[0] < ids[1]);
    let sent = sent_to("mails");
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[0], Message::from("hello"));
    assert_eq!(sent[1..], more);
    assert!(sent_to("others").is_empty());
}

#[test]
fn what_no_host_takes_is_refused() {
    assert!(matches!(
        block_on(send("No Queue", "x")),
        Err(QueueError::NoSuchQueue)
    ));
    let large = block_on(send("mails", vec![0; (256 << 10) + 1]));
    assert!(matches!(large, Err(QueueError::TooLarge(_))));
    let many = vec![Message::from("x"); 101];
    assert!(matches!(
        block_on(send_all("mails", &many)),
        Err(QueueError::TooLarge(_))
    ));
    assert!(sent_to("mails").is_empty());
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| {
        let name = name.parse().expect("a field's name");
        (name, HeaderValue::from_static(value))
    });
    fields.collect()
}

#[test]
fn delivery_is_read_from_the_headers_and_all_of_them() {
    let all = [
        ("everwarm-trigger", "schedule/nightly"),
        ("everwarm-delivery-id", "nightly-000000000000002a"),
        ("everwarm-attempt", "2"),
        ("everwarm-sent-at", "5000"),
        ("everwarm-scheduled-at", "4000"),
    ];
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let delivery = Delivery::of(&headers(&all)).expect("a delivery");
    assert_eq!(delivery.trigger, Trigger::Schedule("nightly".to_owned()));
    assert_eq!((delivery.attempt, delivery.sent), (2, at(5)));
    assert_eq!(delivery.scheduled, Some(at(4)));
    for missing in 0..4 {
        let mut some = all.to_vec();
        some.remove(missing);
        assert_eq!(
            Delivery::of(&headers(&some)),
            None,
            "without {}",
            all[missing].0
        );
    }
}

async fn handle(batch: Batch) -> Response {
    assert_eq!(batch.trigger, Trigger::Queue("mails".to_owned()));
    let failed = batch
        .messages
        .iter()
        .filter(|message| message.body.len() == 2);
    batch.answer(failed)
}

#[test]
fn batch_has_text_and_bytes_and_answers_what_failed() {
    let body = r#"{"trigger":"queue/mails","messages":[{"id":"mails-1","attempt":1,"sent_at":7,"content_type":"text/plain","body":"abc"},{"id":"mails-2","attempt":1,"sent_at":7,"body_base64":"/wA="}]}"#;
    let request = |trigger: bool| {
        let request = Request::post("/queues/mails").header("content-type", "application/json");
        let request = if trigger {
            request.header("everwarm-trigger", "queue/mails")
        } else {
            request
        };
        request.body(Body::from(body)).expect("a valid request")
    };
    let response = block_on(call(handle, request(true)));
    let text = block_on(response.into_body().text()).expect("text");
    assert_eq!(text, r#"{"failed":["mails-2"]}"#);
    assert_eq!(block_on(call(handle, request(false))).status(), 404);
}
