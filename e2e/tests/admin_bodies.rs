//! What the admin API makes of bodies and connections that are there to harm it, and what others notice of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use bytes::Bytes;
use everwarm_api::messages::{Quotas, Scope};
use everwarm_e2e::raw::Raw;
use everwarm_e2e::server::{digest, problem};
use everwarm_e2e::{DataFolder, NewApp, Request, Server, World, component, eventually, within};
use futures_util::future::join_all;
use http::Method;

const HELLO: &str = "Hello from Everwarm\n";

fn authorized(server: &Server, method: Method, path: &str, body: impl Into<Bytes>) -> Request {
    Request::with_body(method, path, body).header(
        "authorization",
        &format!("Bearer {}", server.first_token().expose()),
    )
}

/// The head of a request with the node's token, up to the field that says how long its body is.
fn head(server: &Server, start: &str) -> String {
    let token = server.first_token().expose();
    format!(
        "{start} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
    )
}

/// Manifests that are none, whatever they are sent with.
fn bad_manifests() -> Vec<String> {
    let function = |number: usize| {
        format!("[[function]]\nname=\"f{number}\"\ncomponent=\"f.wasm\"\nroutes=[\"/{number}\"]\n")
    };
    let functions = |count: usize| (0..count).map(function).collect::<String>();
    let routes: Vec<String> = (0..5_000).map(|number| format!("/{number}")).collect();
    vec![
        format!("name=\"shop\"\n{}", functions(10_000)),
        format!("name=\"shop\"\n{}", functions(101)),
        format!(
            "name=\"shop\"\n[[function]]\nname=\"f\"\ncomponent=\"f.wasm\"\nroutes={routes:?}\n"
        ),
        "name=\"shop\u{0}\"\n".to_owned(),
        format!("name=\"{}\"\n", "n".repeat(900_000)),
    ]
}

/// What is sent as JSON and is no message, by operation.
fn no_messages() -> Vec<(Method, &'static str, String)> {
    let long = "n".repeat(900_000);
    let deep = "[".repeat(100_000);
    let mut deploys: Vec<String> = bad_manifests()
        .into_iter()
        .map(|manifest| serde_json::json!({"manifest": manifest, "components": {}}).to_string())
        .collect();
    deploys.extend([
        deep.clone(),
        format!("{{\"manifest\":{deep}"),
        format!("{{\"unknown\":{deep}"),
    ]);
    deploys.extend(
        [
            "",
            "null",
            "[]",
            r#"{"manifest":"","manifest":"","components":{}}"#,
            r#"{"manifest":1,"components":{}}"#,
            r#"{"manifest":"","components":{"f":"sha256:x"}}"#,
            r#"{"manifest":"","components":{},"percent":1e400}"#,
        ]
        .map(ToOwned::to_owned),
    );
    let mut tokens = vec![format!("{{\"name\":\"{long}\",\"scope\":\"read\"}}")];
    tokens.extend(
        [
            r#"{"name":"a\u0000b","scope":"read"}"#,
            r#"{"name":"a\u001b[2Jb","scope":"read"}"#,
            r#"{"name":"a","scope":"\u001b[2J"}"#,
            r#"{"name":"a","scope":"root"}"#,
            r#"{"name":"a","scope":"read","lifetime_s":-1}"#,
        ]
        .map(ToOwned::to_owned),
    );
    let others = [
        (Method::PUT, "/v1/tenants/ann", r#"{"apps":-1}"#),
        (Method::PUT, "/v1/tenants/..%2f..", "{}"),
        (Method::PUT, "/v1/tenants/a%00b", "{}"),
        (Method::PUT, "/v1/tenants/%ff", "{}"),
        (Method::GET, "/v1/apps?limit=many", ""),
        (Method::GET, "/v1/usage?from=-1", ""),
    ];
    let at = |path: &'static str| move |body| (Method::POST, path, body);
    deploys
        .into_iter()
        .map(at("/v1/apps/shop/versions"))
        .chain(tokens.into_iter().map(at("/v1/tokens")))
        .chain(others.map(|(method, path, body)| (method, path, body.to_owned())))
        .collect()
}

#[tokio::test]
async fn bodies_that_are_no_messages_are_refused_with_what_is_wrong() {
    let data = DataFolder::new();
    let server = data.start().await;
    for (method, path, body) in no_messages() {
        let request = authorized(&server, method, path, body.clone())
            .header("content-type", "application/json");
        let problem = server.ask_admin(request).await.failed(400, "EW5009");
        let detail = problem["detail"].as_str().unwrap();
        let start: String = body.chars().take(60).collect();
        assert!(
            detail.len() < 20_000,
            "{path} {start}: {} bytes",
            detail.len()
        );
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!detail.contains(steers), "{path} {start}: {detail:?}");
    }
    let no_json = authorized(
        &server,
        Method::POST,
        "/v1/tokens",
        r#"{"name":"a","scope":"read"}"#,
    );
    server
        .ask_admin(no_json.header("content-type", "text/plain"))
        .await
        .failed(400, "EW5009");
    for path in ["/v1/apps/a%00b", "/v1/apps/%2e%2e", "/v1/apps/%1b%5b2J"] {
        let reply = server
            .ask_admin(authorized(&server, Method::GET, path, ""))
            .await;
        reply.failed(404, "EW5005");
    }
    assert!(server.client().apps(None).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn body_that_is_too_large_is_refused_by_what_it_says_or_by_what_comes() {
    let data = DataFolder::new();
    let server = data.start().await;
    let put = format!("PUT /v1/components/{}", digest(b"x"));
    for (start, bytes) in [
        ("POST /v1/tokens", (1_u64 << 20) + 1),
        (&*put, (64 << 20) + 1),
        (&*put, u64::MAX >> 1),
    ] {
        let mut raw = Raw::connect(server.admin_address()).await;
        raw.write(format!(
            "{}content-length: {bytes}\r\n\r\n",
            head(&server, start)
        ))
        .await;
        let answer = raw.read_until("EW5021").await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    let mut raw = Raw::connect(server.admin_address()).await;
    raw.write(format!(
        "{}transfer-encoding: chunked\r\n\r\n",
        head(&server, "POST /v1/tokens")
    ))
    .await;
    raw.write(format!("100001\r\n{}", " ".repeat((1 << 20) + 1)))
        .await;
    let answer = raw.read_until("EW5021").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn upload_that_is_not_what_it_says_is_not_kept() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let name = digest(b"x");
    // It says more than comes.
    let mut raw = Raw::connect(server.admin_address()).await;
    raw.write(format!(
        "{}content-length: 100\r\n\r\nx",
        head(&server, &format!("PUT /v1/components/{name}"))
    ))
    .await;
    raw.leave().await;
    // It says less than comes: the rest is no part of it.
    let mut raw = Raw::connect(server.admin_address()).await;
    let more = head(&server, &format!("PUT /v1/components/{}", digest(b"xyz")));
    let answer = raw
        .last_words(&format!(
            "{more}connection: close\r\ncontent-length: 1\r\n\r\nxyz"
        ))
        .await;
    assert!(answer.contains("EW5006"), "{answer}");
    // Both lengths: nobody says which one holds.
    let mut raw = Raw::connect(server.admin_address()).await;
    let both = format!("{more}content-length: 1\r\ncontent-length: 3\r\n\r\nxyz");
    let answer = raw.last_words(&both).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    for name in [name, digest(b"xyz")] {
        assert!(!client.has_component(&name).await.unwrap());
    }
}

#[tokio::test]
async fn uploads_that_stall_leave_places_to_others_and_end() {
    let data = DataFolder::new();
    let server = data.start().await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    let mut stalled = Vec::new();
    for number in 0..8 {
        let start = format!("PUT /v1/components/{}", digest(&[number]));
        let mut raw = Raw::connect(server.admin_address()).await;
        raw.write(format!(
            "{}expect: 100-continue\r\ncontent-length: 100\r\n\r\n",
            head(&server, &start)
        ))
        .await;
        stalled.push(raw);
    }
    // Those that have their turn are told to go on.
    eventually("as many are let in as there may be", async || {
        (stalled.iter().filter(|raw| raw.is_answered()).count() == 4).then_some(())
    })
    .await;
    NewApp::new("bobs", "hello", &["/*"])
        .deploy(&bob)
        .await
        .unwrap();
    let at = stalled.iter().position(Raw::is_answered).unwrap();
    let answer = stalled[at].read_until("EW5020").await;
    assert!(answer.contains("HTTP/1.1 408 "), "{answer}");
    // And with that the next one is let in.
    eventually("another one is let in", async || {
        let others = stalled.iter().enumerate().filter(|(other, _)| *other != at);
        (others.filter(|(_, raw)| raw.is_answered()).count() > 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_that_ask_for_nothing_keep_nobody_out_and_end() {
    let data = DataFolder::new();
    let server = data.start().await;
    let mut idle = Vec::new();
    for number in 0..1_000 {
        let mut raw = Raw::connect(server.admin_address()).await;
        if number % 2 == 0 {
            // Whoever was told to make way may have gone already.
            raw.try_write("GET /v1/whoami HTTP/1.1\r\nhost: x\r\nauthor")
                .await;
        }
        idle.push(raw);
    }
    server.client().who_am_i().await.unwrap();
    NewApp::new("shop", "hello", &["/*"])
        .deploy(&server.client())
        .await
        .unwrap();
    assert_eq!(server.get("shop.example.com", "/").await.ok(), HELLO);
    // All end, those with half a head as well.
    let ends = idle.iter_mut().map(Raw::read_to_end);
    within("all have ended", join_all(ends)).await;
}

#[tokio::test]
async fn tenant_that_deploys_app_after_app_ends_at_its_quota_and_others_deploy_and_are_served() {
    let data = DataFolder::new();
    let server = data.start().await;
    let quotas = Quotas {
        apps: Some(5),
        ..Quotas::default()
    };
    let ann = server.tenant("ann", quotas, Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    let flood =
        (0..60).map(|number| NewApp::new(&format!("a{number}"), "hello", &["/*"]).deploy(&ann));
    let others = async {
        NewApp::new("bobs", "hello", &["/*"])
            .deploy(&bob)
            .await
            .unwrap();
        for _ in 0..20 {
            assert_eq!(server.get("bobs.example.com", "/").await.ok(), HELLO);
        }
    };
    let (flood, ()) = tokio::join!(join_all(flood), others);
    let (good, bad): (Vec<_>, Vec<_>) = flood.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 5);
    for refused in bad {
        let problem = problem(refused);
        assert_eq!(
            (problem.status, &*problem.code),
            (403, "EW5008"),
            "{problem:?}"
        );
    }
    assert_eq!(ann.apps(None).await.unwrap().items.len(), 5);
}

/// A component that answers, with a core module in it that nobody needs and that takes Cranelift long.
fn compile_bomb(path: &Path, seed: u8) {
    let mut bytes = std::fs::read(component("hello", World::Wasi02)).unwrap();
    // Functions of no parameters that return what many multiplications make of a number.
    let mut body = vec![0, 0x41, seed & 0x3f];
    for step in 0..60_000_u32 {
        let number = u8::try_from(step % 61).unwrap();
        body.extend_from_slice(&[0x41, number, 0x6c, 0x41, 0x07, 0x73]);
    }
    body.extend_from_slice(&[0x1a, 0x0b]);
    let functions = 80_u8;
    let mut code = leb(u32::from(functions));
    for _ in 0..functions {
        code.extend(leb(u32::try_from(body.len()).unwrap()));
        code.extend_from_slice(&body);
    }
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 0, 0]);
    let mut types = vec![functions];
    types.extend(vec![0; usize::from(functions)]);
    section(&mut module, 3, &types);
    section(&mut module, 10, &code);
    section(&mut bytes, 1, &module);
    std::fs::write(path, bytes).unwrap();
}

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    bytes.extend(leb(u32::try_from(content.len()).unwrap()));
    bytes.extend_from_slice(content);
}

fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compile_bombs_are_refused_and_others_deploy_before_they_are_done() {
    let data = DataFolder::new();
    let mut command = data.command();
    command.args(["--compile-time-max", "3s"]);
    let server = data.start_with(command).await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    NewApp::new("before", "echo", &["/*"])
        .deploy(&bob)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bombs = (0..10).map(|seed| {
        let path = folder.path().join(format!("{seed}.wasm"));
        compile_bomb(&path, seed);
        NewApp::of(&format!("bomb{seed}"), &path, &["/*"]).deploy(&ann)
    });
    let mut bombs = Box::pin(join_all(bombs));
    let busy = async {
        eventually("many wait for the compiler", async || {
            let metrics = server
                .ask_admin(authorized(&server, Method::GET, "/metrics", ""))
                .await;
            let metrics = metrics.ok().to_owned();
            let waiting = metrics
                .lines()
                .find_map(|line| line.strip_prefix("everwarm_compiles_waiting "))?;
            (waiting.parse::<f64>().unwrap() > 5.0).then_some(())
        })
        .await;
        NewApp::new("bobs", "hello", &["/*"])
            .deploy(&bob)
            .await
            .unwrap();
        assert_eq!(server.get("bobs.example.com", "/").await.ok(), HELLO);
    };
    tokio::select! {
        _ = &mut bombs => panic!("he had to wait for all of hers"),
        () = busy => {}
    }
    for refused in bombs.await {
        let problem = problem(refused);
        assert_eq!(
            (problem.status, &*problem.code, problem.stage.as_deref()),
            (422, "EW2005", Some("compile")),
            "{problem:?}"
        );
    }
    assert_eq!(server.get("bobs.example.com", "/").await.ok(), HELLO);
}
