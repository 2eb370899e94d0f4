//! Key-value data from the command line: `everwarm kv` against a real node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Output, Stdio};

use bytes::Bytes;
use everwarm_api::client::KvQuery;
use everwarm_api::messages::KvEntry;
use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::values::{code, deploy, entry, keys, refused};
use everwarm_e2e::{DataFolder, Server};
use serde_json::{Value, json};

const STORE: &str = "default";
const MIB: usize = 1 << 20;

/// Runs `everwarm kv`, with these bytes as its standard input.
async fn kv_with(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut command = everwarm_command();
    command
        .arg("kv")
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

/// As [`kv_with`], and what it printed.
async fn kv(server: &Server, args: &[&str]) -> String {
    let output = kv_with(server, args, b"").await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How it failed: the exit code, and what it said.
async fn kv_fails(server: &Server, args: &[&str], input: &[u8]) -> (i32, String) {
    let output = kv_with(server, args, input).await;
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

#[tokio::test]
async fn values_are_put_read_listed_and_removed_from_the_command_line() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server.client(), "shop").await;
    kv(&server, &["put", "shop", "a/greeting", "hello"]).await;
    assert_eq!(kv(&server, &["get", "shop", "a/greeting"]).await, "hello");

    // Any bytes, from a pipe and from a file; any characters in a key.
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let odd = "a/ &=%+#?\u{e9}\u{1f980}\n";
    let piped = kv_with(&server, &["put", "shop", odd], &bytes).await;
    assert!(piped.status.success(), "{piped:?}");
    let got = kv_with(&server, &["get", "shop", odd], b"").await;
    assert_eq!(got.stdout, bytes);
    let file = data.path().join("value");
    std::fs::write(&file, b"from a file").unwrap();
    let file = ["--file", file.to_str().unwrap()];
    let put = [&["put", "shop", "b", "--ttl", "1h", "--json"][..], &file].concat();
    let put: Value = serde_json::from_str(&kv(&server, &put).await).unwrap();
    assert_eq!(put["bytes"], 11);
    let got = kv(&server, &["get", "shop", "b", "--json"]).await;
    let got: Value = serde_json::from_str(&got).unwrap();
    assert_eq!(got["value"], "ZnJvbSBhIGZpbGU=");
    assert_eq!(
        (&got["revision"], &got["expires_ms"]),
        (&put["revision"], &put["expires_ms"])
    );
    assert!(put["expires_ms"].as_u64() > Some(0));

    // Another store of the app is another one.
    kv(&server, &["put", "shop", "b", "other", "--store", "s/1"]).await;
    let other = kv(&server, &["ls", "shop", "--store", "s/1"]).await;
    assert_eq!(other, "b\n");
    let listed = kv(&server, &["ls", "shop"]).await;
    let shown = odd.replace('\n', "\\n");
    assert_eq!(listed, format!("{shown}\na/greeting\nb\n"));
    let listed = kv(&server, &["ls", "shop", "--prefix", "b", "--json"]).await;
    assert_eq!(listed, "{\"key\":\"b\"}\n");

    let large = vec![0; MIB + 1];
    let (exit, said) = kv_fails(&server, &["put", "shop", "b"], &large).await;
    assert!(exit == 1 && said.contains("EW5021"), "{said}");
    let removed = kv(&server, &["rm", "shop", "b", "nothing"]).await;
    assert_eq!(removed, "1 value removed\n");
    let (exit, said) = kv_fails(&server, &["get", "shop", "b"], b"").await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("EW5024"), "{said}");
    assert_eq!(
        kv(&server, &["get", "shop", "b", "--store", "s/1"]).await,
        "other"
    );
    let all = ["rm", "shop", "--prefix", "a/"];
    let (exit, said) = kv_fails(&server, &all, b"").await;
    assert!(exit == 2 && said.contains("--yes"), "{said}");
    let removed = kv(&server, &[&all[..], &["--yes"]].concat()).await;
    assert_eq!(removed, "2 values removed\n");
    assert_eq!(kv(&server, &["ls", "shop"]).await, "");
}

#[tokio::test]
async fn export_comes_back_as_it_was_by_an_import() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let store = client.kv("shop", STORE);
    let bytes: Vec<u8> = (0..=u8::MAX).rev().collect();
    store
        .put("a", bytes.clone().into(), Some(3_600))
        .await
        .unwrap();
    store.put("b\n\"", Bytes::new(), None).await.unwrap();
    let before = store.get("a").await.unwrap().unwrap();
    let file = data.path().join("../shop.ndjson");
    let file = file.to_str().unwrap();
    let told = kv(&server, &["export", "shop", file, "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["exported"], 2);
    let (exit, _) = kv_fails(&server, &["export", "shop", file], b"").await;
    assert_eq!(exit, 2, "a file that is there stays as it is");
    let exported = std::fs::read_to_string(file).unwrap();
    let printed = kv(&server, &["export", "shop", "--prefix", "b"]).await;
    assert_eq!(printed, "{\"key\":\"b\\n\\\"\",\"value\":\"\"}\n");
    assert!(exported.contains(&*printed));

    store.put("a", "changed".into(), None).await.unwrap();
    store.remove("b\n\"").await.unwrap();
    // Twice: the second time changes nothing more.
    kv(&server, &["import", "shop", file]).await;
    let again = kv_with(&server, &["import", "shop"], exported.as_bytes()).await;
    assert!(again.status.success(), "{again:?}");
    let after = store.get("a").await.unwrap().unwrap();
    assert_eq!(after.bytes, bytes);
    assert_eq!(after.expires_ms, before.expires_ms);
    assert_eq!(kv(&server, &["export", "shop"]).await, exported);
}

#[tokio::test]
async fn entries_that_are_more_than_a_batch_may_have_are_exported_in_parts() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let store = client.kv("shop", STORE);
    let names: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    for name in &names {
        let value = vec![b'v'; MIB];
        store.put(name, value.into(), None).await.unwrap();
    }
    assert_eq!(
        refused(store.read(names.clone()).await),
        code(413, "EW5021")
    );
    let exported = kv(&server, &["export", "shop"]).await;
    let starts: Vec<String> = names
        .iter()
        .map(|name| format!("{{\"key\":\"{name}\",\"value\":\"dnZ2"))
        .collect();
    let lines: Vec<&str> = exported.lines().collect();
    assert_eq!(lines.len(), starts.len());
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "{line:.80}");
        assert!(line.len() > MIB / 3 * 4, "{line:.80}");
    }
}

#[tokio::test]
async fn import_says_which_line_is_wrong() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server.client(), "shop").await;
    let lines = "{\"key\":\"a\",\"value\":\"YQ==\"}\n\n{\"key\":\"b\",\"value\":\"?\"}\n";
    let (exit, said) = kv_fails(&server, &["import", "shop"], lines.as_bytes()).await;
    assert!(exit == 1 && said.contains("line 3: "), "{exit}: {said}");
    // What comes before it is there, as the message says.
    assert_eq!(kv(&server, &["get", "shop", "a"]).await, "a");
    let (exit, said) = kv_fails(
        &server,
        &["import", "none"],
        b"{\"key\":\"a\",\"value\":\"\"}",
    )
    .await;
    assert!(
        exit == 5 && said.contains("lines 1 to 1: "),
        "{exit}: {said}"
    );
}

#[tokio::test]
async fn export_goes_past_the_keys_of_a_page() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let store = client.kv("shop", STORE);
    let names: Vec<String> = (0..1_234).map(|number| format!("{number:04}")).collect();
    for batch in names.chunks(100) {
        let entries = batch.iter().map(|name| entry(name, name.clone()));
        store.write(entries.collect()).await.unwrap();
    }
    let exported = kv(&server, &["export", "shop"]).await;
    let exported: Vec<KvEntry> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected: Vec<KvEntry> = names.iter().map(|name| entry(name, name.clone())).collect();
    assert_eq!(exported, expected);
    // A list goes on where its page ended.
    let first = KvQuery {
        limit: Some(2),
        prefix: Some("01"),
        after: None,
    };
    let page = store.keys(first).await.unwrap();
    assert_eq!(page.items, ["0100", "0101"]);
    let after = page.next.unwrap();
    let second = KvQuery {
        after: Some(&after),
        ..first
    };
    assert_eq!(store.keys(second).await.unwrap().items, ["0102", "0103"]);
    let removed = kv(&server, &["rm", "shop", "--prefix", "", "--yes", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&removed).unwrap(),
        json!({"removed": 1_234})
    );
    assert_eq!(keys(store).await, [""; 0]);
}
