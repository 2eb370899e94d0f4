//! What is sent and what comes of it, with the test in the server's place.

use std::cell::RefCell;
use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http_body::Frame;

use super::{SendErrorKind, SendOptions, send, send_with};
use crate::testing::{block_on, call, on_send};
use crate::{Body, Error, IntoResponse as _, Request, Response, sleep};

/// The headers that a request is sent with.
fn headers_of(request: Request) -> HeaderMap {
    let sent = Rc::new(RefCell::new(HeaderMap::new()));
    let seen = Rc::clone(&sent);
    on_send(move |request| {
        seen.replace(request.headers().clone());
        async { Response::new(()) }
    });
    block_on(send(request)).expect("a response");
    sent.take()
}

fn post(body: impl Into<Body>) -> Request {
    let request = Request::post("https://example.com/items").body(body.into());
    request.expect("a valid request")
}

#[test]
fn a_uri_that_names_no_server_is_not_sent_to() {
    on_send(|_| async { Response::new("answered") });
    for uri in ["/items", "*", "example.com:443"] {
        let request = Request::get(uri).body(()).expect("a valid request");
        let error = block_on(send(request)).expect_err("no server");
        assert_eq!(error.kind(), SendErrorKind::UriNotAbsolute, "{uri}");
        assert!(error.to_string().contains("scheme"), "{error}");
    }
}

#[test]
fn a_length_that_is_known_is_declared() {
    assert_eq!(headers_of(post("hello"))["content-length"], "5");
    assert!(headers_of(post(())).is_empty());
    assert!(headers_of(post(Body::channel().1)).is_empty());
    let mut said = post("hello");
    let length = HeaderValue::from_static("4");
    said.headers_mut().insert("content-length", length);
    assert_eq!(headers_of(said)["content-length"], "4");
}

#[test]
fn a_request_that_is_passed_on_asks_for_its_own_host() {
    let mut request = post(());
    let host = HeaderValue::from_static("function.example.com");
    request.headers_mut().insert("host", host);
    assert!(headers_of(request).is_empty());
}

#[test]
fn time_outs_are_the_hosts_to_keep() {
    let options = SendOptions::new()
        .with_connect_timeout(Duration::from_millis(1))
        .with_first_byte_timeout(Duration::from_millis(2))
        .with_between_bytes_timeout(Duration::from_millis(3));
    on_send(move |request| async move {
        assert_eq!(request.extensions().get(), Some(&options));
        Response::new(())
    });
    block_on(send_with(post(()), options)).expect("a response");
    on_send(|request| async move {
        assert!(request.extensions().is_empty());
        Response::new(())
    });
    block_on(send_with(post(()), SendOptions::new())).expect("a response");
}

#[test]
fn many_sends_are_awaited_at_once() {
    on_send(|request| async move {
        // The first that was sent is the last that is answered.
        let place: u64 = request.uri().path()[1..].parse().expect("a number");
        sleep(Duration::from_millis(30 - 10 * place)).await;
        Response::new(place.to_string())
    });
    let sends = (0..3).map(|place| {
        let request = Request::get(format!("http://example.com/{place}")).body(());
        send(request.expect("a valid request"))
    });
    let texts = block_on(async {
        let responses = join_all(sends).await.into_iter();
        join_all(responses.map(|it| it.expect("a response").into_body().text())).await
    });
    let texts: Vec<String> = texts.into_iter().map(|it| it.expect("text")).collect();
    assert_eq!(texts, ["0", "1", "2"]);
}

#[test]
fn nothing_is_sent_before_it_is_awaited() {
    on_send(|_| async { panic!("it was sent") as Response });
    drop(send(post(())));
    // And what is sent may be dropped.
    on_send(|_| std::future::pending::<Response>());
    let mut sending = pin!(send(post(())));
    let mut context = Context::from_waker(Waker::noop());
    assert!(sending.as_mut().poll(&mut context).is_pending());
}

#[test]
fn a_test_that_answers_nothing_says_what_to_do() {
    let error = block_on(send(post(()))).expect_err("no answer");
    assert!(error.to_string().contains("testing::on_send"), "{error}");
}

#[test]
fn trailers_come_with_the_response() {
    on_send(|_| async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let frames = [Frame::data(Bytes::from("ab")), Frame::trailers(trailers)];
        let frames = stream::iter(frames.map(Ok::<_, std::io::Error>));
        Response::new(Body::new(http_body_util::StreamBody::new(frames)))
    });
    let response = block_on(send(post(()))).expect("a response");
    let body = http_body_util::BodyExt::collect(response.into_body());
    let body = block_on(body).expect("a whole body");
    assert_eq!(body.trailers().expect("trailers")["x-sum"], "7");
}

#[test]
fn a_response_that_is_not_what_was_expected_is_not_the_clients_fault() {
    async fn total(_: Body) -> Result<String, Error> {
        let response = send(post(())).await?;
        let numbers: Vec<u32> = response.into_body().json().await?;
        Ok(numbers.len().to_string())
    }
    on_send(|_| async { Response::new("<html>") });
    assert_eq!(block_on(call(total, post(()))).status(), 500);
    on_send(|_| async { Response::new("[1, 2]") });
    assert_eq!(block_on(call(total, post(()))).status(), 200);
}

#[test]
fn a_response_that_breaks_off_is_not_the_clients_fault() {
    on_send(|_| async {
        let parts = [Ok("ab"), Err("the server has gone")];
        Response::new(Body::from_stream(stream::iter(parts)))
    });
    let response = block_on(send(post(()))).expect("a response");
    let error = block_on(response.into_body().text()).expect_err("broken off");
    assert!(error.send_error().is_none());
    assert_eq!(error.to_string(), "the server has gone");
    assert_eq!(Error::from(error).into_response().status(), 500);
}

#[test]
fn an_axum_handler_may_send() {
    fn is_send<T: Send + 'static>(value: T) -> T {
        value
    }
    on_send(|_| async { Response::new("hello") });
    let response = block_on(is_send(send(post("x")))).expect("a response");
    assert_eq!(response.status(), 200);
}
