//! Blobs on their way through the admin API: much of them, half of them, refused and slow ones. What is done with them is in
//! `blob_admin`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_api::client::{BlobIf, BlobList, UploadError};
use everwarm_api::messages::{Quotas, Scope};
use everwarm_e2e::blobs::{MIB, Mebibytes, deploy, files, mebibyte, names, put, text};
use everwarm_e2e::raw::Raw;
use everwarm_e2e::values::{code, refused};
use everwarm_e2e::{DataFolder, eventually};
use futures_util::future::join_all;

const PHOTOS: &str = "photos";

/// The head of a write of `photos/a`, up to the field that says how long its body is.
fn write_head(token: &str, app: &str) -> String {
    let path = format!("/v1/apps/{app}/blobs/{PHOTOS}/blob?name=a");
    format!("PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blob_streams_both_ways_in_bounded_memory() {
    const COUNT: usize = 64;
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    put(blobs, "first", "first").await;
    assert_eq!(text(blobs, "first").await.unwrap(), "first");
    let before = server.node.process().memory_bytes();
    let written = blobs.upload("a", Mebibytes::new(COUNT), Some("x/y"), BlobIf::Any);
    let written = written.await.unwrap();
    assert_eq!(written.size, (COUNT * MIB) as u64);
    let mut read = blobs.get("a").await.unwrap().unwrap();
    assert_eq!(*read.info(), written);
    let mut seen = 0;
    while let Some(mut piece) = read.piece().await.unwrap() {
        while !piece.is_empty() {
            let expected = mebibyte(seen / MIB);
            let place = seen % MIB;
            let run = piece.split_to(piece.len().min(MIB - place));
            assert!(run == expected[place..place + run.len()], "at {seen}");
            seen += run.len();
        }
    }
    assert_eq!(seen, COUNT * MIB);
    let grown = server.node.process().memory_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "the node has grown by {grown} bytes");
}

#[tokio::test]
async fn write_that_can_be_refused_at_once_is_refused_before_its_body_is_sent() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    put(blobs, "a", "old").await;
    let token = server.first_token().expose();
    for (app, fields, status) in [
        ("shop", "if-none-match: *\r\ncontent-length: 3000000", 412),
        ("shop", "content-length: 5368709121", 413),
        ("none", "content-length: 3000000", 404),
    ] {
        // One that doesn't wait to be asked sends its body, and is heard out.
        for (expect, body) in [("expect: 100-continue\r\n", 0), ("", 3_000_000)] {
            let mut raw = Raw::connect(server.admin_address()).await;
            let head = write_head(token, app);
            raw.write(format!("{head}{expect}{fields}\r\n\r\n")).await;
            raw.write(vec![b'x'; body]).await;
            let answer = raw.read_to_end().await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        }
    }
    // What has no body leaves the connection as it is.
    let mut raw = Raw::connect(server.admin_address()).await;
    for _ in 0..2 {
        let head = write_head(token, "none");
        raw.write(format!("{head}content-length: 0\r\n\r\n")).await;
        let answer = raw.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    // A client that sends much learns why it is refused, and its connection is no use any more.
    for _ in 0..3 {
        let written = blobs.upload("a", Mebibytes::new(64), None, BlobIf::Absent);
        match written.await {
            Err(UploadError::Client(error)) => assert_eq!(error.code(), "EW5028"),
            other => panic!("{other:?}"),
        }
        assert_eq!(text(blobs, "a").await.unwrap(), "old");
    }
    // What the app has no container for, no function could read.
    let other = client.blobs("shop", "musik");
    let written = other.put("a", "x".into(), None, BlobIf::Any).await;
    assert_eq!(refused(written), code(404, "EW5005"));
    assert_eq!(names(other).await, [""; 0]);
    let none = client.blobs("shop", "No Name");
    assert_eq!(
        refused(none.list(BlobList::default()).await),
        code(400, "EW5009")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_upload_leaves_what_was_there() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    put(blobs, "a", "old").await;
    let folder = data.path().join("blobs");
    let token = server.first_token().expose();
    for fields in [
        "content-length: 2000000\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n1E8480\r\n",
    ] {
        let mut raw = Raw::connect(server.admin_address()).await;
        raw.write(format!("{}{fields}", write_head(token, "shop")))
            .await;
        raw.write(vec![b'x'; 1_000_000]).await;
        let begun = async || (files(&folder).len() > 1).then_some(());
        eventually("half of it is there", begun).await;
        drop(raw);
        let gone = async || (files(&folder).len() == 1).then_some(());
        eventually("nothing of it is there", gone).await;
        assert_eq!(text(blobs, "a").await.unwrap(), "old");
    }
    let broken = Mebibytes::new(3).failing();
    let written = blobs.upload("a", broken, None, BlobIf::Any).await;
    assert!(
        matches!(written, Err(UploadError::Source(_))),
        "{written:?}"
    );
    let gone = async || (files(&folder).len() == 1).then_some(());
    eventually("nothing of it is there", gone).await;
    assert_eq!(text(blobs, "a").await.unwrap(), "old");
    // What never was written is in no log.
    let entries = client.audit(false, None).await.unwrap().items;
    let puts = entries.iter().filter(|entry| entry.action == "put-blobs");
    assert_eq!(puts.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_stall_and_downloads_that_nobody_reads_leave_places_to_others() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    blobs
        .upload("large", Mebibytes::new(20), None, BlobIf::Any)
        .await
        .unwrap();
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    deploy(&bob, "bobs").await;
    let token = server.first_token().expose();
    let begin = async |head: String| {
        let mut raw = Raw::connect(server.admin_address()).await;
        raw.write(head).await;
        raw
    };
    let write = write_head(token, "shop") + "expect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    let read = format!("/v1/apps/shop/blobs/{PHOTOS}/blob?name=large");
    let read = format!("GET {read} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut uploads = join_all((0..8).map(|_| begin(write.clone()))).await;
    let mut downloads = join_all((0..12).map(|_| begin(read.clone()))).await;
    let answered = |raws: &[Raw]| raws.iter().filter(|raw| raw.is_answered()).count();
    eventually("as many are let in as there may be", async || {
        (answered(&uploads) == 4 && answered(&downloads) == 8).then_some(())
    })
    .await;
    let his = bob.blobs("bobs", PHOTOS);
    put(his, "a", "his").await;
    assert_eq!(text(his, "a").await.unwrap(), "his");
    // Whoever leaves makes room, and so does whoever is too slow.
    downloads.retain(|raw| !raw.is_answered());
    assert_eq!(downloads.len(), 4);
    eventually("the others are let in", async || {
        (answered(&downloads) == 4).then_some(())
    })
    .await;
    let at = uploads.iter().position(Raw::is_answered).unwrap();
    let answer = uploads[at].read_until("EW5020").await;
    assert!(answer.contains("HTTP/1.1 408 "), "{answer}");
    uploads.remove(at);
    eventually("another one is let in", async || {
        (answered(&uploads) > 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn quota_of_a_tenant_bounds_what_comes_from_outside_too() {
    let data = DataFolder::new();
    let server = data.start().await;
    let quotas = Quotas {
        blobs: Some(2),
        blob_bytes: Some(3 << 20),
        ..Quotas::default()
    };
    let ann = server.tenant("ann", quotas, Scope::Deploy).await;
    deploy(&ann, "shop").await;
    let blobs = ann.blobs("shop", PHOTOS);
    let upload = async |name: &'static str, count: usize| {
        let source = Mebibytes::new(count);
        blobs.upload(name, source, None, BlobIf::Any).await
    };
    let reached = |result| match result {
        Err(UploadError::Client(error)) => assert_eq!(error.code(), "EW5008", "{error}"),
        other => panic!("{other:?}"),
    };
    // More than all of it may be, told while it comes: whoever still sends learns why.
    for _ in 0..10 {
        reached(upload("a", 30).await);
    }
    upload("a", 2).await.unwrap();
    reached(upload("b", 2).await);
    put(blobs, "b", "small").await;
    reached(upload("c", 0).await);
    put(blobs, "a", "small").await;
    assert!(blobs.remove("b", BlobIf::Any).await.unwrap());
    upload("c", 2).await.unwrap();
    assert_eq!(names(blobs).await, ["a", "c"]);
}
