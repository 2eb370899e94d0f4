//! Keeps blobs through the standard's own interfaces, as any toolchain does: bindings that are generated from `wit/blobs`,
//! streams of `wasi:io`. `PUT /<name>` writes the body as it comes, `GET` streams the blob back, `POST /all` goes through
//! the rest of the interfaces and answers `ok`, or what was wrong.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::all,
    reason = "generated code"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit/blobs",
        world: "everwarm:blobs/blobs",
        generate_all,
    });
}

use bindings::wasi::blobstore::blobstore::{
    container_exists, copy_object, create_container, delete_container, get_container, move_object,
};
use bindings::wasi::blobstore::container::Container;
use bindings::wasi::blobstore::types::{IncomingValue, ObjectId, OutgoingValue};
use bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use everwarm_sdk::http::Method;
use everwarm_sdk::{Body, Bytes, Error, IntoResponse as _, Request, Response, Result};

/// What one `blocking-write-and-flush` takes.
const WRITE_BYTES_MAX: usize = 4_096;

#[everwarm_sdk::http]
async fn blobstore(request: Request) -> Result {
    let name = request.uri().path().trim_start_matches('/').to_owned();
    if request.method() == Method::POST {
        let said = all().err().unwrap_or_else(|| "ok".to_owned());
        return Ok(said.into_response());
    }
    let photos = get_container("photos").map_err(Error::internal)?;
    if request.method() == Method::PUT {
        let said = put(&photos, &name, request.into_body()).await;
        return Ok(said
            .err()
            .unwrap_or_else(|| "ok".to_owned())
            .into_response());
    }
    match photos.get_data(&name, 0, u64::MAX) {
        Ok(value) => {
            let stream = IncomingValue::incoming_value_consume_async(value);
            let stream = stream.map_err(Error::internal)?;
            let (mut sender, body) = Body::channel();
            everwarm_sdk::spawn(async move {
                while let Some(piece) = read(&stream) {
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
            });
            Ok(Response::new(body))
        }
        Err(error) => Ok(error.into_response()),
    }
}

fn read(stream: &InputStream) -> Option<Bytes> {
    match stream.blocking_read(64 << 10) {
        Ok(piece) => Some(piece.into()),
        Err(StreamError::Closed) => None,
        Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), String> {
    for piece in bytes.chunks(WRITE_BYTES_MAX) {
        match stream.blocking_write_and_flush(piece) {
            Ok(()) => {}
            Err(StreamError::Closed) => return Err("closed".to_owned()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    Ok(())
}

async fn put(container: &Container, name: &str, mut body: Body) -> Result<(), String> {
    let value = OutgoingValue::new_outgoing_value();
    let stream = value.outgoing_value_write_body();
    let stream = stream.map_err(|()| "it has no stream".to_owned())?;
    container.write_data(name, &value)?;
    while let Some(chunk) = body.chunk().await {
        write(&stream, &chunk.map_err(|error| error.to_string())?)?;
    }
    drop(stream);
    OutgoingValue::finish(value)
}

fn put_text(container: &Container, name: &str, text: &str) -> Result<(), String> {
    let value = OutgoingValue::new_outgoing_value();
    let stream = value
        .outgoing_value_write_body()
        .map_err(|()| "no stream")?;
    // What is written before it is said where it goes waits.
    write(&stream, text.as_bytes())?;
    if value.outgoing_value_write_body().is_ok() {
        return Err("a value has two streams".to_owned());
    }
    container.write_data(name, &value)?;
    drop(stream);
    OutgoingValue::finish(value)
}

fn text(container: &Container, name: &str, start: u64, end: u64) -> Result<String, String> {
    let value = container.get_data(name, start, end)?;
    let size = value.size();
    let bytes = IncomingValue::incoming_value_consume_sync(value)?;
    if bytes.len() as u64 != size {
        return Err(format!("{size} bytes were said, and {} came", bytes.len()));
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn check(is_right: bool, what: &str) -> Result<(), String> {
    if is_right {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

fn id(container: &str, object: &str) -> ObjectId {
    ObjectId {
        container: container.to_owned(),
        object: object.to_owned(),
    }
}

fn all() -> Result<(), String> {
    let photos = create_container("photos")?;
    check(
        container_exists("photos")?,
        "a container that is granted exists",
    )?;
    check(!container_exists("others")?, "others don't")?;
    check(get_container("others").is_err(), "others aren't opened")?;
    check(photos.name()? == "photos", "its name")?;
    photos.clear()?;

    put_text(&photos, "a", "hello world")?;
    check(
        text(&photos, "a", 0, u64::MAX)? == "hello world",
        "the whole",
    )?;
    check(text(&photos, "a", 0, 0)? == "h", "the first byte")?;
    check(
        text(&photos, "a", 6, 10)? == "world",
        "both ends are included",
    )?;
    check(
        text(&photos, "a", 6, 100)? == "world",
        "the end is that of the blob",
    )?;
    check(text(&photos, "a", 12, 13).is_err(), "beyond the end")?;
    check(text(&photos, "a", 3, 2).is_err(), "backwards")?;
    check(text(&photos, "none", 0, 1).is_err(), "there is none")?;

    let dropped = OutgoingValue::new_outgoing_value();
    photos.write_data("dropped", &dropped)?;
    drop(dropped);
    check(
        !photos.has_object("dropped")?,
        "what isn't finished isn't there",
    )?;
    let nowhere = OutgoingValue::new_outgoing_value();
    check(OutgoingValue::finish(nowhere).is_err(), "it goes nowhere")?;

    let info = photos.object_info("a")?;
    check(
        info.size == 11 && info.name == "a" && info.container == "photos",
        "its info",
    )?;
    check(
        info.created_at >= photos.info()?.created_at,
        "the container is older",
    )?;
    copy_object(&id("photos", "a"), &id("photos", "b"))?;
    move_object(&id("photos", "a"), &id("photos", "c"))?;
    check(
        copy_object(&id("photos", "a"), &id("photos", "d")).is_err(),
        "nothing to copy",
    )?;
    check(
        copy_object(&id("photos", "b"), &id("others", "d")).is_err(),
        "not granted",
    )?;
    check(
        !photos.has_object("a")? && photos.has_object("b")?,
        "moved and copied",
    )?;

    let names = photos.list_objects()?;
    check(
        names.read_stream_object_names(1)? == (vec!["b".to_owned()], false),
        "a part",
    )?;
    check(
        names.read_stream_object_names(9)? == (vec!["c".to_owned()], true),
        "the rest",
    )?;
    check(
        photos.list_objects()?.skip_stream_object_names(9)? == (2, true),
        "skipped",
    )?;
    photos.delete_object("b")?;
    photos.delete_object("b")?;
    photos.delete_objects(&["c".to_owned(), "none".to_owned()])?;
    check(!photos.has_object("c")?, "deleted")?;
    put_text(&photos, "d", "x")?;
    delete_container("photos")?;
    check(!photos.has_object("d")?, "the container is empty")
}
