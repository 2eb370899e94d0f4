//! Blobs in a bucket of an S3 server that fails: what functions hear, what the log says, and that nothing else suffers.

use std::path::Path;
use std::time::Duration;

use everwarm_e2e::Authority;
use everwarm_e2e::s3::{BUCKET, Failing, SECRET_KEY};

use super::*;

const PUT: &str = r#"{ "op": "put", "name": "a", "text": "hello" }"#;
const GET: &str = r#"{ "op": "get", "name": "a" }"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What the log says of a bucket's fault.
async fn told(node: &Node, text: &str) {
    let says = |value: &Value| {
        let fault = value["fields"]["fault"].as_str();
        fault.is_some_and(|fault| fault.contains(text))
    };
    node.log()
        .patient(Duration::from_mins(1))
        .value(text, says)
        .await;
}

/// The node does what needs no bucket, and its log has no key.
async fn serves_all_else(node: &Node) {
    assert_eq!(ask(node, json!({ "op": "open" })).await, ok(Value::Null));
    assert!(!node.log().contains(SECRET_KEY), "the log has the key");
}

everywhere_in_a_bucket! {
    async fn server_that_refuses_the_keys_is_told_of_and_all_else_is_served(place: Place) {
        let s3 = place.s3.as_ref().unwrap();
        let flags = s3.flags_with(BUCKET, &s3.other_keys("not-the-key"));
        let node = place.plain("blobs").flags(flags).start().await;
        told(&node, "refuses the node's access key (403 Forbidden, SignatureDoesNotMatch)").await;
        let put = refused(&node, parsed(PUT)).await;
        assert!(put.contains("refuses the node's access key"), "{put}");
        assert!(s3.objects().is_empty());
        serves_all_else(&node).await;
        assert!(!node.log().contains("not-the-key"), "the log has the key");
        assert_eq!(ask(&node, parsed(GET)).await, ok(Value::Null));
    }

    async fn bucket_that_is_not_there_is_told_of_and_all_else_is_served(place: Place) {
        let s3 = place.s3.as_ref().unwrap();
        let flags = s3.flags_with("another", &s3.keys());
        let node = place.plain("blobs").flags(flags).start().await;
        told(&node, "no such bucket").await;
        serves_all_else(&node).await;
    }

    async fn node_starts_without_its_server_and_goes_on_when_it_is_back(place: Place) {
        let s3 = place.s3.as_ref().unwrap();
        s3.fail(Failing::Gone);
        let node = place.app().start().await;
        told(&node, "broke off").await;
        let put = refused(&node, parsed(PUT)).await;
        assert!(put.contains("broke off"), "{put}");
        serves_all_else(&node).await;
        s3.fail(Failing::No);
        assert_eq!(ask(&node, parsed(PUT)).await["ok"]["size"], 5);
        node.log().line("blobs can be read and written again").await;
        assert_eq!(ask(&node, parsed(GET)).await, ok("hello"));
    }

    async fn server_that_fails_ends_no_request_but_with_an_error(place: Place) {
        let s3 = place.s3.as_ref().unwrap();
        let node = place.app().start().await;
        ask(&node, parsed(PUT)).await;
        for (failing, text) in [
            (Failing::Silent, "doesn't answer in time"),
            (Failing::Garbage, "makes no sense"),
            (Failing::Gone, "broke off"),
        ] {
            s3.fail(failing);
            for asked in [GET, PUT] {
                let told = refused(&node, parsed(asked)).await;
                assert!(told.contains(text), "{failing:?}: {told}");
            }
            assert!(s3.has_failed());
            serves_all_else(&node).await;
            s3.fail(Failing::No);
            assert_eq!(ask(&node, parsed(GET)).await, ok("hello"), "{failing:?}");
        }
    }

    async fn blob_whose_connection_breaks_off_is_read_on_and_written_again(place: Place) {
        let s3 = place.s3.as_ref().unwrap();
        let node = place.app().start().await;
        let all = bytes(10 << 20);
        node.send(put("/photos/a", &all)).await.ok();
        for after in [0, 1_000, 3 << 20, 9 << 20] {
            s3.fail(Failing::OnceAfter(after));
            let read = node.get("/photos/a").await;
            assert!(read.bytes() == all, "after {after}");
            assert!(s3.has_failed(), "after {after}");
            s3.fail(Failing::OnceAfter(0));
            node.send(put("/photos/b", &all)).await.ok();
            assert!(s3.has_failed(), "after {after}");
            assert!(node.get("/photos/b").await.bytes() == all, "after {after}");
        }
    }

    async fn upload_that_is_given_up_leaves_no_part(place: Place) {
        let s3 = place.s3.as_ref().unwrap();
        let node = place.app().start().await;
        let mut raw = node.connect_raw().await;
        let head = "PUT /photos/a HTTP/1.1\r\nhost: app\r\ncontent-length: 30000000\r\n\r\n";
        raw.write(head).await;
        raw.write(vec![b'x'; 9_000_000]).await;
        eventually("a part is there", async || (s3.parts() > 0).then_some(())).await;
        drop(raw);
        eventually("no part is left", async || (s3.parts() == 0).then_some(())).await;
        assert!(s3.objects().is_empty());
    }

    async fn files_of_before_are_read_and_a_node_without_its_bucket_is_refused(place: Place) {
        let s3 = place.s3.as_ref().unwrap();
        let mut folder = place.plain("blobs").write();
        let node = folder.start().await;
        let old = json!({ "op": "put", "name": "old", "text": "in a file" });
        ask(&node, old).await;
        drop(node.stop(Signal::TERM).await);
        let node = folder.start_with(s3.flags()).await;
        ask(&node, parsed(PUT)).await;
        assert_eq!(s3.objects().len(), 1);
        let old = json!({ "op": "get", "name": "old" });
        assert_eq!(ask(&node, old).await, ok("in a file"));
        let list = json!({ "op": "list", "prefix": "", "count_max": 9 });
        assert_eq!(ask(&node, list).await["ok"]["names"], json!(["a", "old"]));
        // What is replaced goes from where it was.
        let again = json!({ "op": "put", "name": "old", "text": "in an object" });
        ask(&node, again).await;
        eventually("the file is gone", async || {
            files(&folder.data().join("blobs")).is_empty().then_some(())
        })
        .await;
        drop(node.stop(Signal::TERM).await);
        let without = folder.refused_with(Vec::new()).await;
        assert_eq!(without.code, "EW4009");
        assert!(without.message.contains("--blobs-s3-"), "{}", without.message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_is_reached_by_tls_from_an_authority_that_the_node_trusts() {
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let s3 = Some(S3::start_with(Some(&pair)).await);
    let place = Place {
        world: World::Wasi03,
        s3,
    };
    let stranger = place.app().start().await;
    told(&stranger, "can't be reached").await;
    let put = refused(&stranger, parsed(PUT)).await;
    assert!(put.contains("can't be reached"), "{put}");
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("authority.pem");
    std::fs::write(&pem, authority.pem()).unwrap();
    let app = place.app().flag("--trusted-cas", &pem.to_string_lossy());
    let node = app.start().await;
    assert_eq!(ask(&node, parsed(PUT)).await["ok"]["size"], 5);
    assert_eq!(ask(&node, parsed(GET)).await, ok("hello"));
}

#[tokio::test]
async fn settings_that_are_none_are_refused_before_the_node_starts() {
    let s3 = S3::start().await;
    let refused = async |change: &dyn Fn(&mut Vec<String>)| {
        let mut flags = s3.flags();
        change(&mut flags);
        let app = App::new("blobs", World::Wasi02).flags(flags);
        app.refused().await.message
    };
    let open = refused(&|flags| flags.retain(|flag| flag != "--blobs-s3-allow-http")).await;
    assert!(open.contains("in the clear"), "{open}");
    let keys = s3.other_keys("two words");
    let set = |flags: &mut Vec<String>, path: &Path| {
        let place = flags.iter().position(|flag| flag == "--blobs-s3-keys-file");
        flags[place.unwrap() + 1] = path.to_string_lossy().into_owned();
    };
    let wrong = refused(&|flags| set(flags, &keys)).await;
    assert!(wrong.contains("AWS_SECRET_ACCESS_KEY"), "{wrong}");
    assert!(!wrong.contains("two words"), "{wrong}");
    let missing = refused(&|flags| set(flags, Path::new("/nowhere"))).await;
    assert!(missing.contains("/nowhere"), "{missing}");
}
