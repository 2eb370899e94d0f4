//! What can't be deployed, and why: a code, what is wrong, and what to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;

use everwarm_e2e::{App, World, component};
use tempfile::TempDir;

/// What the command line ends with when the node refuses.
const EXIT_NODE: i32 = 5;
/// What it ends with when the manifest is wrong.
const EXIT_MANIFEST: i32 = 3;
/// What it ends with when there is nothing to deploy.
const EXIT_BUILD: i32 = 4;

/// A component with these bytes.
fn bytes(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("function.wasm");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

async fn refused(contents: &[u8], code: &str) -> String {
    let (_folder, path) = bytes(contents);
    let refusal = App::of(path).refused().await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        (code, EXIT_NODE),
        "{refusal:?}"
    );
    assert!(
        refusal.message.contains("`app`"),
        "the function isn't named: {}",
        refusal.message
    );
    refusal.message
}

#[tokio::test]
async fn file_that_is_no_wasm_is_refused() {
    refused(b"#!/bin/sh\necho hello\n", "EW2001").await;
    refused(b"", "EW2001").await;
}

#[tokio::test]
async fn core_module_is_refused_with_the_way_to_a_component() {
    let message = refused(b"\0asm\x01\0\0\0", "EW2002").await;
    assert!(
        message.contains("wasm32-wasip2") || message.contains("component new"),
        "{message}"
    );
}

#[tokio::test]
async fn import_that_nothing_provides_is_named() {
    let refusal = App::new("bigimport", World::Wasi02).refused().await;
    assert_eq!((refusal.code.as_str(), refusal.exit), ("EW2003", EXIT_NODE));
    assert!(
        refusal.message.contains("acme:warehouse/stock@1.2.0"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn component_that_is_too_large_is_refused() {
    let (_folder, path) = bytes(b"");
    // A file with a hole: it is large, and takes no room.
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len((512 << 20) + 1)
        .unwrap();
    let refusal = App::of(path).refused().await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        ("EW2004", EXIT_BUILD),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn broken_component_is_refused() {
    let mut contents = std::fs::read(component("hello", World::Wasi02)).unwrap();
    contents.truncate(contents.len() / 2);
    refused(&contents, "EW2006").await;
}

#[tokio::test]
async fn component_without_a_handler_is_refused() {
    let message = refused(b"\0asm\x0d\0\x01\0", "EW2007").await;
    assert!(message.contains("wasi:http"), "{message}");
}

#[tokio::test]
async fn concurrent_function_needs_wasi_03() {
    let refusal = App::new("hello", World::Wasi02)
        .isolation("concurrent")
        .refused()
        .await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        ("EW2008", EXIT_NODE),
        "{refusal:?}"
    );
    assert!(refusal.message.contains("0.3"), "{}", refusal.message);
}

#[tokio::test]
async fn manifest_that_asks_for_both_is_refused() {
    let app = App::new("hello", World::Wasi02)
        .isolation("concurrent")
        .key("world = \"wasi-0.2\"");
    let refusal = app.refused().await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        ("EW1010", EXIT_MANIFEST),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn missing_component_is_named() {
    let refusal = App::of("no/such.wasm").refused().await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        ("EW2011", EXIT_BUILD),
        "{refusal:?}"
    );
    assert!(
        refusal.message.contains("no/such.wasm"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn mistakes_of_a_manifest_are_told_with_their_line() {
    let app = App::new("hello", World::Wasi02).key("isolaton = \"serial\"");
    let refusal = app.refused().await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        ("EW1002", EXIT_MANIFEST),
        "{refusal:?}"
    );
    assert!(
        refusal.message.contains("everwarm.toml:6:1"),
        "{}",
        refusal.message
    );
    assert!(
        refusal.message.contains("`isolation`"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn port_in_use_is_told_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refusal = App::new("hello", World::Wasi02)
        .listen(address)
        .refused()
        .await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        ("EW4001", EXIT_NODE),
        "{refusal:?}"
    );
    let message = &refusal.message;
    assert!(
        message.contains(&address.to_string()) && message.contains("--listen"),
        "{message}"
    );
}

#[tokio::test]
async fn data_folder_in_use_is_told() {
    let folder = App::new("hello", World::Wasi02).write();
    let node = folder.start().await;
    let refusal = folder.refused().await;
    assert_eq!(
        (refusal.code.as_str(), refusal.exit),
        ("EW4002", EXIT_NODE),
        "{refusal:?}"
    );
    assert_eq!(node.get("/").await.ok(), "Hello from Everwarm\n");
}
