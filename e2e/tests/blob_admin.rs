//! Blobs for their owners: the admin API of a real node. The command line is in `blob_command_line`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use everwarm_api::client::{BlobIf, BlobList};
use everwarm_api::messages::{NewToken, Quotas, Scope};
use everwarm_api::operations::{ALL, GET_BLOB, Operation, Place};
use everwarm_e2e::blobs::{DECLARED, MIB, Mebibytes, all, deploy, names, put, text};
use everwarm_e2e::values::{self, code, refused};
use everwarm_e2e::{DataFolder, NewApp, Reply, Request, Server};
use futures_util::future::join_all;
use http::Method;

const PHOTOS: &str = "photos";

/// Where an operation on a blob of `photos` is.
fn path(operation: &Operation, app: &str, name: &str) -> String {
    let path = operation.path.replace("{app}", app);
    format!("{}?name={name}", path.replace("{container}", PHOTOS))
}

fn bearer(server: &Server) -> String {
    format!("Bearer {}", server.first_token().expose())
}

/// Sends a request for a blob of the app `shop` with these fields.
async fn ask(
    server: &Server,
    method: Method,
    body: &'static str,
    fields: &[(&str, &str)],
) -> Reply {
    let request = Request::with_body(method, &path(&GET_BLOB, "shop", "a"), body)
        .header("host", "x")
        .header("authorization", &bearer(server));
    let request = fields.iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    server.ask_admin(request).await
}

#[tokio::test]
async fn app_that_is_not_there_or_another_tenants_has_no_blobs() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    deploy(&ann, "anns").await;
    let hers = ann.blobs("anns", PHOTOS);
    put(hers, "a", "hers").await;
    for his in [
        bob.blobs("anns", PHOTOS),
        bob.blobs("none", PHOTOS),
        bob.blobs("../anns", PHOTOS),
    ] {
        let not_found = code(404, "EW5005");
        assert_eq!(refused(his.get("a").await), not_found);
        assert_eq!(refused(his.head("a").await), not_found);
        let written = his.put("a", "his".into(), None, BlobIf::Any).await;
        assert_eq!(refused(written), not_found);
        assert_eq!(refused(his.remove("a", BlobIf::Any).await), not_found);
        assert_eq!(refused(his.list(BlobList::default()).await), not_found);
    }
    assert_eq!(text(hers, "a").await.unwrap(), "hers");
    // His app of the same name, which he can have when she has it no more, is another one.
    ann.remove_app("anns").await.unwrap();
    deploy(&bob, "anns").await;
    assert_eq!(names(bob.blobs("anns", PHOTOS)).await, [""; 0]);
}

#[tokio::test]
async fn token_that_may_only_look_reaches_no_operation_on_blobs() {
    let data = DataFolder::new();
    let server = data.start().await;
    let deployer = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    deploy(&deployer, "shop").await;
    let new = NewToken {
        name: "reader".to_owned(),
        scope: Scope::Read,
        lifetime_s: None,
        of_node: true,
    };
    let reader = server.client().make_token(&new).await.unwrap().token;
    let of_container = ALL.iter().filter(|operation| {
        let mut parameters = operation.parameters.iter();
        parameters.any(|it| it.place == Place::Path && it.name == "container")
    });
    let mut seen = 0;
    for operation in of_container {
        let request = Request::new(operation.method.clone(), &path(operation, "shop", "a"))
            .header("authorization", &format!("Bearer {reader}"))
            .header("host", "x");
        assert_eq!(server.ask_admin(request).await.status(), 403);
        seen += 1;
    }
    assert_eq!(seen, 5);
    assert_eq!(names(deployer.blobs("shop", PHOTOS)).await, [""; 0]);
}

#[tokio::test]
async fn parts_are_read_alone() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    let written = blobs
        .put("a", "0123456789".into(), Some("text/plain"), BlobIf::Any)
        .await
        .unwrap();
    let etag = format!("\"{}\"", written.etag);
    for (range, told, expected) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-2", "bytes 8-9/10", "89"),
        ("bytes=3-99", "bytes 3-9/10", "3456789"),
    ] {
        let part = ask(&server, Method::GET, "", &[("range", range)]).await;
        assert_eq!((part.status().as_u16(), part.text()), (206, expected));
        assert_eq!(part.header("content-range"), Some(told));
        assert_eq!(part.header("etag"), Some(&*etag));
        assert_eq!(part.header("content-type"), Some("text/plain"));
    }
    // Several, what is no range, and a range of another blob: the whole.
    for fields in [
        &[("range", "bytes=0-0,2-2")][..],
        &[("range", "lines=0-0")],
        &[("range", "bytes=0-0"), ("if-range", "\"other\"")],
    ] {
        let whole = ask(&server, Method::GET, "", fields).await;
        assert_eq!(whole.ok(), "0123456789", "{fields:?}");
        assert_eq!(whole.header("content-range"), None);
    }
    let same = [("range", "bytes=0-0"), ("if-range", &*etag)];
    assert_eq!(ask(&server, Method::GET, "", &same).await.status(), 206);
    let beyond = ask(&server, Method::GET, "", &[("range", "bytes=10-")]).await;
    beyond.failed(416, "EW5029");
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));

    let head = ask(&server, Method::HEAD, "", &[]).await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.header("content-length"), Some("10"));
    assert_eq!(blobs.head("a").await.unwrap(), Some(written.clone()));
    let part = blobs.get_part("a", 2..5).await.unwrap().unwrap();
    assert_eq!(*part.info(), written);
    assert_eq!(all(Some(part)).await.unwrap(), b"234");
    let beyond = blobs.get_part("a", 10..11).await;
    assert_eq!(refused(beyond), code(416, "EW5029"));
    // An empty one is in no blob.
    for empty in [0..0, 5..5] {
        let part = blobs.get_part("a", empty).await;
        assert_eq!(refused(part), code(416, "EW5029"));
    }
    assert!(blobs.get_part("b", 0..1).await.unwrap().is_none());
    assert_eq!(blobs.head("b").await.unwrap(), None);
    assert!(blobs.get("b").await.unwrap().is_none());
    put(blobs, "empty", "").await;
    assert_eq!(text(blobs, "empty").await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_made_under_conditions() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    let changed = code(412, "EW5028");
    let racers = (0..8).map(|number: u32| {
        let text = Bytes::from(number.to_string());
        blobs.put("a", text, None, BlobIf::Absent)
    });
    let (won, lost): (Vec<_>, Vec<_>) = join_all(racers).await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for loser in lost {
        assert_eq!(refused(loser), changed);
    }
    let first = won.into_iter().next().unwrap().unwrap();
    let matches = BlobIf::Matches(&first.etag);
    let next = blobs.put("a", "next".into(), None, matches).await.unwrap();
    let late = blobs.put("a", "late".into(), None, matches).await;
    assert_eq!(refused(late), changed);
    assert_eq!(refused(blobs.remove("a", matches).await), changed);
    let none = blobs.put("b", "x".into(), None, matches).await;
    assert_eq!(refused(none), changed);
    assert_eq!(text(blobs, "a").await.unwrap(), "next");
    let now = BlobIf::Matches(&next.etag);
    assert!(blobs.remove("a", now).await.unwrap());
    assert!(!blobs.remove("a", BlobIf::Any).await.unwrap());
    assert_eq!(names(blobs).await, [""; 0]);

    // A condition that can't be checked isn't ignored.
    for field in [
        ("if-match", "*"),
        ("if-match", "abc"),
        ("if-match", "W/\"a\""),
        ("if-none-match", "\"a\""),
        ("content-range", "bytes 0-0/2"),
        ("content-type", ""),
    ] {
        let reply = ask(&server, Method::PUT, "x", &[field]).await;
        reply.failed(400, "EW5009");
    }
    let absent = [("if-none-match", "*")];
    let reply = ask(&server, Method::DELETE, "", &absent).await;
    reply.failed(400, "EW5009");
    assert_eq!(names(blobs).await, [""; 0]);
}

#[tokio::test]
async fn names_are_texts_and_no_paths() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    let long = "\u{1f980}".repeat(256);
    let mut odd = vec![
        "..",
        "../../a",
        "/",
        "a/",
        "a b",
        "%2e%2e/",
        "?&=+#",
        "\u{10ffff}",
        "\"'\\",
        "A",
        "a",
        &long,
    ];
    for name in &odd {
        let text = Bytes::from((*name).to_owned());
        blobs.put(name, text, None, BlobIf::Any).await.unwrap();
    }
    odd.sort_unstable();
    for name in &odd {
        assert_eq!(text(blobs, name).await.as_deref(), Some(*name));
    }
    assert_eq!(names(blobs).await, odd);
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = BlobList {
            prefix: Some("a"),
            after: after.as_deref(),
            limit: Some(1),
        };
        let listed = blobs.list(page).await.unwrap();
        seen.extend(listed.items.into_iter().map(|blob| blob.name));
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "a b", "a/"]);
    for name in ["", "a\u{0}", "a\nb", &"x".repeat(1_025)] {
        let bad = code(400, "EW5009");
        let written = blobs.put(name, "x".into(), None, BlobIf::Any).await;
        assert_eq!(refused(written), bad);
        assert_eq!(refused(blobs.get(name).await), bad);
    }
    // What isn't UTF-8 isn't taken for something else.
    let request = Request::get("/v1/apps/shop/blobs/photos/blob?name=%ff");
    let request = request.header("authorization", &bearer(&server));
    let reply = server.ask_admin(request.header("host", "x")).await;
    reply.failed(400, "EW5009");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_and_owners_see_the_same_blobs() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    let write = Request::with_body(Method::PUT, "/photos/a", "from a function")
        .header("host", "shop.example.com")
        .header("content-type", "text/x");
    server.node.send(write).await.ok();
    let read = blobs.get("a").await.unwrap().unwrap();
    assert_eq!(read.info().content_type.as_deref(), Some("text/x"));
    assert_eq!(all(Some(read)).await.unwrap(), b"from a function");
    let written = blobs
        .put("a", "from its owner".into(), Some("text/y"), BlobIf::Any)
        .await
        .unwrap();
    let read = server.get("shop.example.com", "/photos/a").await;
    assert_eq!(read.ok(), "from its owner");
    assert_eq!(read.header("content-type"), Some("text/y"));
    assert_eq!(read.header("etag"), Some(&*format!("\"{}\"", written.etag)));
    // Whoever reads one reads on when it is replaced.
    blobs
        .upload("b", Mebibytes::new(20), None, BlobIf::Any)
        .await
        .unwrap();
    let mut reading = blobs.get("b").await.unwrap().unwrap();
    let mut seen = reading.piece().await.unwrap().unwrap().len();
    put(blobs, "b", "new").await;
    while let Some(piece) = reading.piece().await.unwrap() {
        seen += piece.len();
    }
    assert_eq!(seen, 20 * MIB);
    assert_eq!(text(blobs, "b").await.unwrap(), "new");
    client.remove_app("shop").await.unwrap();
    assert_eq!(refused(blobs.get("a").await), code(404, "EW5005"));
    deploy(&client, "shop").await;
    assert_eq!(names(blobs).await, [""; 0]);
}

#[tokio::test]
async fn changes_are_in_the_audit_log_with_no_names_of_blobs() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Admin).await;
    deploy(&ann, "shop").await;
    let blobs = ann.blobs("shop", PHOTOS);
    put(blobs, "secret-name", "x").await;
    let bad = blobs.put("", "x".into(), None, BlobIf::Any).await;
    assert_eq!(refused(bad).0, 400);
    let there = blobs.put("secret-name", "x".into(), None, BlobIf::Absent);
    assert_eq!(refused(there.await).0, 412);
    put(ann.blobs("shop", "videos"), "secret-name", "x").await;
    blobs.get("secret-name").await.unwrap();
    blobs.remove("secret-name", BlobIf::Any).await.unwrap();
    let entries = ann.audit(false, None).await.unwrap().items;
    let told: Vec<(&str, &str, &str)> = entries
        .iter()
        .take_while(|entry| entry.action != "deploy")
        .map(|entry| (&*entry.action, &*entry.subject, &*entry.detail))
        .collect();
    assert_eq!(
        told,
        [
            ("remove-blobs", "shop", "container photos"),
            ("put-blobs", "shop", "container videos"),
            ("put-blobs", "shop", "container photos"),
        ]
    );
    assert!(entries[0].actor.starts_with("ann admin ("), "{entries:?}");
}

#[tokio::test]
async fn app_without_a_container_takes_no_blob() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    values::deploy(&client, "shop").await;
    let blobs = client.blobs("shop", PHOTOS);
    let written = blobs.put("a", "x".into(), None, BlobIf::Any).await;
    assert_eq!(refused(written), code(404, "EW5005"));
    // A canary's container is one.
    let canary = NewApp::new("shop", "hello", &["/*"]).line(DECLARED);
    canary.percent(10).deploy(&client).await.unwrap();
    put(blobs, "a", "x").await;
}
