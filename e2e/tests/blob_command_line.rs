//! Blobs from the command line: `everwarm blob` against a real node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use everwarm_e2e::blobs::{deploy, files};
use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::{DataFolder, Request, Server};
use http::Method;
use serde_json::Value;

/// Runs `everwarm blob`, with these bytes as its standard input.
async fn blob_with(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut command = everwarm_command();
    command
        .arg("blob")
        .args(args)
        .env("EVERWARM_NODE", server.admin())
        .env("EVERWARM_TOKEN", server.first_token().expose())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // One that doesn't read has gone already, or will have.
        let _ = child.stdin.take().unwrap().write_all(&input);
        child.wait_with_output().unwrap()
    });
    output.await.unwrap()
}

/// As [`blob_with`], and what it printed.
async fn blob(server: &Server, args: &[&str]) -> String {
    let output = blob_with(server, args, b"").await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How it failed: the exit code, and what it said.
async fn blob_fails(server: &Server, args: &[&str], input: &[u8]) -> (i32, String) {
    let output = blob_with(server, args, input).await;
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Bytes of which no two pieces are the same.
fn bytes(count: usize) -> Vec<u8> {
    (0..count.div_ceil(8) as u64)
        .flat_map(u64::to_le_bytes)
        .take(count)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_put_read_listed_and_removed_from_the_command_line() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server.client(), "shop").await;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();

    // Large ones, from a file and into one.
    let large = bytes(20 << 20);
    let from = place("large");
    fs::write(&from, &large).unwrap();
    let said = blob(&server, &["put", "shop", "photos", "a/large.bin", &from]).await;
    assert_eq!(said, "a/large.bin has 20971520 bytes now\n");
    let to = place("copy");
    let get = ["get", "shop", "photos", "a/large.bin", &to];
    let said = blob(&server, &get).await;
    assert!(said.contains("20971520 bytes"), "{said}");
    assert!(fs::read(&to).unwrap() == large);
    // What is there stays as it is.
    let (exit, said) = blob_fails(&server, &get, b"").await;
    assert!(exit == 2 && said.contains("is there already"), "{said}");

    // From a pipe and into one; any name.
    let odd = "a/ &=%+#?\u{e9}\u{1f980}\"";
    let put = ["put", "shop", "photos", odd, "--type", "text/x", "--json"];
    let put = blob_with(&server, &put, &large).await;
    assert!(put.status.success(), "{put:?}");
    let put = json(&String::from_utf8(put.stdout).unwrap());
    assert_eq!(
        (&put["size"], &put["content_type"]),
        (&20_971_520.into(), &"text/x".into())
    );
    let got = blob_with(&server, &["get", "shop", "photos", odd, "-"], b"").await;
    assert!(got.stdout == large);
    let to = place("again");
    let got = blob(&server, &["get", "shop", "photos", odd, &to, "--json"]).await;
    let mut got = json(&got);
    assert_eq!(got["file"].take(), to);
    got.as_object_mut().unwrap().remove("file");
    assert_eq!(got, put);

    // What functions write, and what they read.
    let write = Request::with_body(Method::PUT, "/photos/b", "from a function");
    let write = write.header("host", "shop.example.com");
    server.node.send(write).await.ok();
    let read = blob(&server, &["get", "shop", "photos", "b"]).await;
    assert_eq!(read, "from a function");
    let written = blob_with(&server, &["put", "shop", "photos", "b", "-"], b"mended").await;
    assert!(written.status.success(), "{written:?}");
    let read = server.get("shop.example.com", "/photos/b").await;
    assert_eq!(read.ok(), "mended");

    let listed = blob(&server, &["ls", "shop", "photos"]).await;
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.splitn(2, "  ").collect())
        .collect();
    let rows: Vec<&str> = rows.iter().map(|row| row[1].trim()).collect();
    let odd_row = format!("20971520  {odd}");
    assert_eq!(rows, [&*odd_row, "20971520  a/large.bin", "6  b"]);
    let listed = blob(
        &server,
        &["ls", "shop", "photos", "--prefix", "a/ ", "--json"],
    )
    .await;
    assert_eq!(json(&listed), put);
    assert_eq!(blob(&server, &["ls", "shop", "videos"]).await, "");

    let removed = blob(&server, &["rm", "shop", "photos", odd, "b", "nothing"]).await;
    assert_eq!(removed, "2 blobs removed\n");
    let removed = blob(&server, &["rm", "shop", "photos", "a/large.bin", "--json"]).await;
    assert_eq!(removed, "{\"removed\":1}\n");
    assert_eq!(blob(&server, &["ls", "shop", "photos"]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_done_is_said_and_leaves_nothing() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server.client(), "shop").await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy");
    let to = to.to_str().unwrap();
    let left = |folder: &Path| files(folder).len();

    let get = ["get", "shop", "photos", "a", to];
    let (exit, said) = blob_fails(&server, &get, b"").await;
    assert!(exit == 1 && said.contains("EW5027"), "{exit}: {said}");
    assert_eq!(left(folder.path()), 0);

    let put = ["put", "shop", "photos", "a", "--if-absent"];
    let first = blob_with(&server, &put, b"first").await;
    assert!(first.status.success(), "{first:?}");
    let large = bytes(20 << 20);
    let (exit, said) = blob_fails(&server, &put, &large).await;
    assert!(exit == 1 && said.contains("EW5028"), "{exit}: {said}");
    assert_eq!(
        blob(&server, &["get", "shop", "photos", "a"]).await,
        "first"
    );

    let none = ["put", "shop", "musik", "a", "-"];
    let (exit, said) = blob_fails(&server, &none, b"x").await;
    assert!(exit == 5 && said.contains("EW5005"), "{exit}: {said}");
    let missing = ["put", "shop", "photos", "a", "/none/such"];
    let (exit, said) = blob_fails(&server, &missing, b"").await;
    assert!(exit == 2 && said.contains("/none/such"), "{exit}: {said}");
    // A folder can be opened, and has no bytes.
    let no_file = [
        "put",
        "shop",
        "photos",
        "a",
        folder.path().to_str().unwrap(),
    ];
    let (exit, said) = blob_fails(&server, &no_file, b"").await;
    assert!(
        exit == 1 && said.contains("nothing is written"),
        "{exit}: {said}"
    );
    assert_eq!(
        blob(&server, &["get", "shop", "photos", "a"]).await,
        "first"
    );

    // What breaks off is never taken for the whole: here the disk has other bytes than were written.
    let put = blob_with(&server, &["put", "shop", "photos", "large", "-"], &large).await;
    assert!(put.status.success(), "{put:?}");
    let kept = files(&data.path().join("blobs"));
    let kept = kept
        .iter()
        .max_by_key(|path| path.metadata().unwrap().len());
    let kept = kept.unwrap();
    let mut damaged = fs::read(kept).unwrap();
    damaged[10 << 20] ^= 1;
    fs::write(kept, damaged).unwrap();
    let (exit, said) = blob_fails(&server, &["get", "shop", "photos", "large", to], b"").await;
    assert!(exit == 5 && said.contains("broke off"), "{exit}: {said}");
    assert_eq!(left(folder.path()), 0);
    let printed = blob_with(&server, &["get", "shop", "photos", "large"], b"").await;
    assert_eq!(printed.status.code(), Some(5));
    assert!(printed.stdout.len() < large.len());
}
