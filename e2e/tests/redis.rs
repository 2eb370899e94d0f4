//! Redis servers as functions of both worlds have them: real ones, and ones that don't do as they should.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use everwarm_e2e::asked::noticed;
use everwarm_e2e::redis::PASSWORD;
use everwarm_e2e::{App, Authority, Node, Redis, Request, World, both_worlds, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// An app with a server at this URL.
fn at(url: &str, world: World) -> App {
    App::new("redis", world)
        .limit("cpu_time", "10s")
        .grant("redis = [\"default\"]\naddresses = [\"127.0.0.1\"]")
        .table(&format!(
            "[[redis]]\nname = \"default\"\nurl = \"{url}\"\npassword = \"PASSWORD\"\n[[redis]]\nname = \"other\"\nurl = \"{url}\""
        ))
        .secret("PASSWORD", PASSWORD)
}

async fn ask(node: &Node, asked: Value) -> Value {
    let request = Request::post("/", asked.to_string());
    let reply = node
        .send(request.header("content-type", "application/json"))
        .await;
    reply.ok();
    reply.json()
}

/// What came of each command.
async fn each(node: &Node, commands: Value) -> Value {
    ask(node, json!({ "commands": commands })).await
}

/// How the only command failed.
async fn error(node: &Node, command: Value) -> (String, String) {
    let answers = each(node, json!([command])).await;
    let text = |key: &str| answers[0][key].as_str().unwrap_or_default().to_owned();
    (text("error"), text("said"))
}

both_worlds! {
    async fn commands_are_done_and_answers_are_what_they_are(world: World) {
        let server = Redis::start().await;
        let node = at(&server.url(), world).start().await;
        let answers = each(&node, json!([
            ["SET", "a", "\u{1f980}"],
            ["GET", "a"],
            ["GET", "nothing"],
            ["INCRBY", "n", 41],
            ["incr", "n"],
            ["SET", "b", { "bytes": 1000 }],
            ["GET", "b"],
            ["RPUSH", "l", "x", "y"],
            ["LRANGE", "l", 0, -1],
            ["EVAL", "return {1, {2, {}, 'three'}, false}", 0],
            ["LPOP", "a"],
            ["NONSENSE"],
        ]))
        .await;
        assert_eq!(answers[0], json!({ "status": "OK" }));
        assert_eq!(answers[1], "\u{1f980}");
        assert_eq!(answers[2], Value::Null);
        assert_eq!((&answers[3], &answers[4]), (&json!(41), &json!(42)));
        assert_eq!(answers[6], json!({ "bytes": 1000 }));
        assert_eq!(answers[8], json!(["x", "y"]));
        assert_eq!(answers[9], json!([1, [2, [], "three"], null]));
        assert_eq!(answers[10]["error"], "refused");
        assert!(answers[10]["said"].as_str().unwrap().starts_with("WRONGTYPE"), "{answers}");
        assert_eq!(answers[11]["error"], "refused");
        // Another request, and another connection perhaps, finds what this one has put there.
        assert_eq!(each(&node, json!([["GET", "n"]])).await, json!(["42"]));
    }

    async fn several_are_sent_at_once_and_an_atomic_few_wholly_or_not(world: World) {
        let server = Redis::start().await;
        let node = at(&server.url(), world).start().await;
        let all = json!([["SET", "a", 1], ["LPOP", "a"], ["INCR", "a"]]);
        let answers = ask(&node, json!({ "commands": all, "how": "all" })).await;
        assert_eq!((&answers[0], &answers[2]), (&json!({ "status": "OK" }), &json!(2)));
        assert!(answers[1]["problem"].as_str().unwrap().starts_with("WRONGTYPE"), "{answers}");
        let answers = ask(&node, json!({ "commands": all, "how": "atomic" })).await;
        assert_eq!(answers[2], 2, "{answers}");
        assert!(answers[1]["problem"].as_str().unwrap().starts_with("WRONGTYPE"), "{answers}");
        // One that can't be means that none is done.
        let broken = json!([["SET", "a", 7], ["NONSENSE"]]);
        let answers = ask(&node, json!({ "commands": broken, "how": "atomic" })).await;
        assert_eq!(answers["error"], "refused", "{answers}");
        assert_eq!(each(&node, json!([["GET", "a"]])).await, json!(["2"]));
    }

    async fn connection_that_others_have_next_is_not_changed(world: World) {
        let server = Redis::start().await;
        let node = at(&server.url(), world).start().await;
        for command in [json!(["SELECT", 3]), json!(["multi"]), json!(["SUBSCRIBE", "c"]), json!(["BLPOP", "l", 0])] {
            assert_eq!(error(&node, command).await.0, "not-allowed");
        }
        for name in ["other", "unknown"] {
            let answers = ask(&node, json!({ "server": name, "commands": [["PING"]] })).await;
            assert_eq!(answers[0]["error"], "access-denied", "{name}");
        }
        noticed(&node, "Redis server `other` denied").await;
        let answers = ask(&node, json!({ "server": "No Name", "commands": [["PING"]] })).await;
        assert_eq!(answers[0]["error"], "no-such-server");
    }

    async fn what_is_too_much_is_an_error_and_the_next_is_done(world: World) {
        let server = Redis::start().await;
        let node = at(&server.url(), world).start().await;
        assert_eq!(error(&node, json!(["SET", "a", { "bytes": 5 << 20 }])).await.0, "too-much");
        let many: Vec<_> = (0..101).map(|_| json!(["PING"])).collect();
        let answers = ask(&node, json!({ "commands": many, "how": "all" })).await;
        assert_eq!(answers["error"], "too-much");
        // An answer that is too large ends its connection, and no other.
        let large = json!(["EVAL", "return string.rep('x', 5 * 1024 * 1024)", 0]);
        assert_eq!(error(&node, large).await.0, "too-much");
        let nested = json!(["EVAL", "local t = {} for i = 1, 2000000 do t[i] = 1 end return t", 0]);
        assert_eq!(error(&node, nested).await.0, "too-much");
        assert_eq!(each(&node, json!([["PING"]])).await, json!([{ "status": "PONG" }]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_killed_is_an_error_and_is_found_again() {
    let mut server = Redis::start().await;
    let node = at(&server.url(), World::Wasi02).start().await;
    assert_eq!(
        each(&node, json!([["PING"]])).await,
        json!([{ "status": "PONG" }])
    );
    server.kill();
    assert_eq!(error(&node, json!(["PING"])).await.0, "unavailable");
    server.start_again().await;
    eventually("it is asked again", async || {
        let answers = each(&node, json!([["PING"]])).await;
        (answers == json!([{ "status": "PONG" }])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_that_takes_too_long_is_given_up_and_its_connection_with_it() {
    let server = Redis::start().await;
    let node = at(&server.url(), World::Wasi02)
        .limit("wall_time", "2s")
        .start()
        .await;
    let forever = json!(["EVAL", "while true do end", 0]);
    assert_eq!(error(&node, forever).await.0, "timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_password_and_one_that_is_not_set_say_so() {
    let server = Redis::start().await;
    let node = at(&server.url(), World::Wasi02)
        .secret("PASSWORD", "wrong")
        .start()
        .await;
    let (kind, said) = error(&node, json!(["PING"])).await;
    assert_eq!(kind, "unavailable");
    assert!(
        said.contains("lets nobody in") && !said.contains("wrong\""),
        "{said}"
    );
    let unset = App::new("redis", World::Wasi02)
        .grant("redis = [\"default\"]\naddresses = [\"127.0.0.1\"]")
        .table(&format!(
            "[[redis]]\nname = \"default\"\nurl = \"{}\"\npassword = \"NOT_SET\"",
            server.url()
        ));
    let (kind, said) = error(&unset.start().await, json!(["PING"])).await;
    assert_eq!(kind, "unavailable");
    assert!(said.contains("`NOT_SET` isn't set"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_that_is_not_public_is_not_asked_unless_it_is_listed() {
    let server = Redis::start().await;
    let port = server.address().port();
    let app = App::new("redis", World::Wasi02)
        .grant("redis = [\"default\"]")
        .table(&format!(
            "[[redis]]\nname = \"default\"\nurl = \"redis://app@localhost.example.com:{port}\""
        ));
    let names = everwarm_e2e::NameServer::start().await;
    names.set("localhost.example.com", &["127.0.0.1"]);
    let node = app
        .flag("--name-servers", &names.address().to_string())
        .start()
        .await;
    let (kind, said) = error(&node, json!(["PING"])).await;
    assert_eq!(kind, "unavailable");
    assert!(said.contains("isn't public"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_servers_whose_certificate_is_trusted_alone() {
    let authority = Authority::new();
    let pair = authority.issue(&["127.0.0.1"]);
    let server = Redis::start_with(Some((&pair.chain, &pair.key))).await;
    let url = format!("rediss://app@{}", server.address());
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, authority.pem()).unwrap();
    let trusting = at(&url, World::Wasi02).flag("--trusted-cas", trusted.to_str().unwrap());
    let node = trusting.start().await;
    assert_eq!(
        each(&node, json!([["PING"]])).await,
        json!([{ "status": "PONG" }])
    );
    let stranger = at(&url, World::Wasi02).start().await;
    assert_eq!(error(&stranger, json!(["PING"])).await.0, "unavailable");
}

/// A server that says the same to everybody, whatever he asks, and then nothing more.
async fn saying(said: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4_096];
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(said).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_speak_garbage_or_nothing_are_errors_in_time() {
    for said in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"$99999999999\r\nx",
        b"*2147483647\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        b"",
    ] {
        let address = saying(said).await;
        let app = App::new("redis", World::Wasi02)
            .limit("wall_time", "2s")
            .grant("redis = [\"default\"]\naddresses = [\"127.0.0.1\"]")
            .table(&format!(
                "[[redis]]\nname = \"default\"\nurl = \"redis://{address}\""
            ));
        let node = app.start().await;
        let (kind, told) = error(&node, json!(["PING"])).await;
        assert!(
            ["unavailable", "timeout", "refused", "too-much"].contains(&&*kind),
            "{said:?}: {kind} {told}"
        );
        // The node is well, and the function too.
        assert_eq!(error(&node, json!(["SELECT", 1])).await.0, "not-allowed");
    }
}
