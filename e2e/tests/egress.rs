//! Requests that functions send: to whom the manifest says, at addresses that are public or listed, over connections
//! that wait in the node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use everwarm_api::messages::{Quotas, Scope};
use everwarm_e2e::asked::{self, Outcome, by};
use everwarm_e2e::rude;
use everwarm_e2e::{
    App, Authority, DataFolder, NameServer, NewApp, Node, Request, Upstream, World, both_worlds,
    eventually,
};

/// An app whose function asks for what it is told to.
fn app(world: World) -> App {
    App::new("fetch", world)
}

/// A name of `upstream` that `names` knows, and the app that may ask for it at the address that it has.
async fn named(world: World, upstream: &Upstream) -> (NameServer, App, String) {
    let names = NameServer::start().await;
    names.set("api.test", &["127.0.0.1"]);
    let host = format!("http://api.test:{}", upstream.address().port());
    let app = app(world)
        .flag("--name-servers", &names.address().to_string())
        .grant_http(&[&host]);
    (names, app, host)
}

both_worlds! {
    async fn granted_host_is_asked_and_answers(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        let reply = node.get(&by("/get", &upstream.url("/anything?x=1"))).await;
        assert_eq!(reply.ok(), "hello");
        assert_eq!(reply.header("x-version"), Some("HTTP/1.1"));
        let reply = node.get(&by("/get", &upstream.url("/status/404"))).await;
        assert_eq!(reply.status(), 404);
    }

    async fn head_arrives_as_the_function_made_it(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        let request = Request::get(&by("/headers", &upstream.url("/head?a=%20b")))
            .header("x-send-accept", "text/plain")
            .header("x-send-x-own", "1");
        let reply = node.send(request).await;
        let expected = format!(
            "GET /head?a=%20b\naccept: text/plain\nhost: {}\nx-own: 1\n",
            upstream.address()
        );
        // The node says which trace it is a part of, and nothing else.
        let arrived: String = reply
            .ok()
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("traceparent: "))
            .collect();
        assert_eq!(arrived, expected);
    }

    async fn bodies_stream_both_ways(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        let (request, body) = Request::stream(&by("/post", &upstream.url("/echo")));
        let mut connection = node.connect().await;
        let (open, sent) = tokio::join!(connection.open(request), body.send("first"));
        sent.unwrap();
        let mut open = open;
        // The second part is sent when the first has come back: nobody waits for a whole body.
        open.expect("first").await;
        body.send("second").await.unwrap();
        open.expect("second").await;
        drop(body);
        assert_eq!(open.read().await.ok(), "");
    }

    async fn large_body_comes_back_whole(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world)
            .grant_http(&[upstream.grant()])
            .limit("cpu_time", "30s")
            .start()
            .await;
        let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let request = Request::post(&by("/post", &upstream.url("/echo")), body.clone());
        assert!(node.send(request).await.bytes() == body);
    }

    async fn ungranted_host_is_denied_and_the_log_names_the_grant(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&["https://example.com"]).start().await;
        let outcome = Outcome::of(&node, &upstream.url("/")).await;
        assert_eq!(outcome.kind, "HttpRequestDenied");
        let grant = format!("add \"{}\" to `http` in [function.grants]", upstream.grant());
        asked::noticed(&node, &grant).await;
        assert_eq!(upstream.connections(), 0);
    }

    async fn function_without_grants_reaches_nothing(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).start().await;
        assert_eq!(Outcome::of(&node, &upstream.url("/")).await.kind, "HttpRequestDenied");
        assert_eq!(Outcome::of(&node, "https://example.com/").await.kind, "HttpRequestDenied");
        assert_eq!(upstream.connections(), 0);
    }

    async fn granted_host_is_granted_at_its_own_port_and_scheme_alone(world: World) {
        let (upstream, other) = (Upstream::start().await, Upstream::start().await);
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        let secure = upstream.url("/").replace("http://", "https://");
        for url in [other.url("/"), secure] {
            assert_eq!(Outcome::of(&node, &url).await.kind, "HttpRequestDenied", "{url}");
        }
        assert_eq!((upstream.connections(), other.connections()), (0, 0));
    }

    async fn name_with_a_private_address_is_refused_unless_that_is_listed(world: World) {
        let upstream = Upstream::start().await;
        let (_names, app, host) = named(world, &upstream).await;
        let node = app.clone().start().await;
        assert_eq!(Outcome::of(&node, &host).await.kind, "DestinationIpProhibited");
        asked::noticed(&node, "add \"127.0.0.1\" to `addresses`").await;
        assert_eq!(upstream.connections(), 0);

        let node = app.grant("addresses = [\"127.0.0.0/8\"]").start().await;
        assert_eq!(node.get(&by("/get", &host)).await.ok(), "hello");
    }

    async fn name_that_changes_its_address_gains_nothing(world: World) {
        let (first, second) = (Upstream::start().await, Upstream::start().await);
        let names = NameServer::start().await;
        names.set_turns("api.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
        let host = |upstream: &Upstream| format!("http://api.test:{}", upstream.address().port());
        let node = app(world)
            .flag("--name-servers", &names.address().to_string())
            .grant_http(&[host(&first), host(&second)])
            .grant("addresses = [\"127.0.0.1\"]")
            .start()
            .await;
        assert_eq!(node.get(&by("/get", &host(&first))).await.ok(), "hello");
        // Another port, so another connection, and the name has moved.
        assert_eq!(Outcome::of(&node, &host(&second)).await.kind, "DestinationIpProhibited");
        assert_eq!(second.connections(), 0);
    }

    async fn names_are_looked_up_again_when_their_answers_say_so(world: World) {
        let upstream = Upstream::start().await;
        let (names, app, host) = named(world, &upstream).await;
        let node = app.grant("addresses = [\"127.0.0.1\"]").start().await;
        // The connection is closed each time, so that the next request needs another one.
        let url = format!("{host}/close");
        let ask = async || {
            let before = names.questions().len();
            assert_eq!(Outcome::of(&node, &url).await.kind, "ConnectionTerminated");
            names.questions().len() > before
        };
        assert!(ask().await);
        assert!(ask().await, "an answer that may not be kept was kept");
        names.set_ttl(300);
        ask().await;
        assert!(!ask().await, "an answer that may be kept was asked for again");
    }

    async fn address_that_refuses_is_followed_by_the_next(world: World) {
        let upstream = Upstream::start().await;
        let (names, app, host) = named(world, &upstream).await;
        names.set("api.test", &["::1", "127.0.0.2", "127.0.0.1"]);
        let node = app
            .grant("addresses = [\"127.0.0.0/8\", \"::1\"]")
            .start()
            .await;
        assert_eq!(node.get(&by("/get", &host)).await.ok(), "hello");
    }

    async fn connection_waits_for_the_next_instance(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        let mut connection = node.connect().await;
        let mut used = BTreeSet::new();
        for _ in 0..20 {
            let reply = connection.send(Request::get(&by("/get", &upstream.url("/")))).await;
            used.insert(reply.header("x-connection").unwrap().to_owned());
        }
        // A guest that computes for long is on another thread, and has a connection of this one lent three times in a row:
        // at most each fourth request after the first makes one.
        assert!(used.len() <= 5, "{used:?}");
        assert_eq!((upstream.connections(), upstream.requests()), (used.len() as u64, 20));
    }

    async fn connection_that_broke_off_is_not_used_again(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        let mut connection = node.connect().await;
        // What may be repeated is sent once more, on a new connection, which breaks off too.
        for number in ["1", "3", "5"] {
            let url = upstream.url("/");
            let reply = connection.send(Request::get(&by("/get", &url))).await;
            assert_eq!(reply.header("x-connection"), Some(number));
            let outcome = Outcome::on(&mut connection, &upstream.url("/close")).await;
            assert_eq!(outcome.kind, "ConnectionTerminated");
        }
    }

    async fn many_requests_of_one_function_go_out_at_once(world: World) {
        let upstream = Upstream::start().await;
        // A debug build isn't what is asked about.
        let app = app(world).grant_http(&[upstream.grant()]).limit("cpu_time", "5s");
        let node = app.start().await;
        let path = format!("{}&n=50", by("/many", &upstream.url("/slow?50")));
        let reply = node.get(&path).await;
        assert_eq!(reply.ok(), "ok 200 4\n".repeat(50));
        assert_eq!(upstream.requests(), 50);
    }

    async fn request_sends_only_so_many(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world)
            .grant_http(&[upstream.grant()])
            .limit_number("subrequests", 3)
            .start()
            .await;
        let path = format!("{}&n=5", by("/many", &upstream.url("/")));
        let text = node.get(&path).await.ok().to_owned();
        assert_eq!(text.lines().filter(|line| *line == "ok 200 5").count(), 3, "{text}");
        assert_eq!(text.matches("`subrequests`").count(), 2, "{text}");
        // The next request may send as many again.
        assert_eq!(node.get(&by("/get", &upstream.url("/"))).await.ok(), "hello");
    }

    async fn redirects_are_the_functions_to_follow(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        assert_eq!(node.get(&by("/get", &upstream.url("/redirect"))).await.status(), 302);
        assert_eq!(upstream.requests(), 1);
    }

    async fn failures_are_the_interfaces_own_errors(world: World) {
        let upstream = Upstream::start().await;
        let closed = Upstream::start().await;
        let refused = closed.grant();
        drop(closed);
        let names = NameServer::start().await;
        names.set("empty.test", &[]);
        let app = app(world)
            .flag("--name-servers", &names.address().to_string())
            .grant_http(&[upstream.grant(), refused.clone(), "http://*".into()])
            .limit("subrequest_body", "1KiB");
        let node = app.start().await;
        eventually("the port to be closed", async || {
            let outcome = Outcome::of(&node, &refused).await;
            (outcome.kind == "ConnectionRefused").then_some(())
        })
        .await;
        for (path, kind) in [
            ("/close", "ConnectionTerminated"),
            ("/half", "ConnectionTerminated"),
            ("/fields?200000", "HttpResponseHeaderSectionSize"),
            ("/zeros?100000", "HttpResponseBodySize"),
        ] {
            assert_eq!(Outcome::of(&node, &upstream.url(path)).await.kind, kind, "{path}");
        }
        for (url, kind) in [
            ("http://nowhere.test/", "DestinationNotFound"),
            ("http://empty.test/", "DnsError"),
            ("http://a.internal/", "HttpRequestDenied"),
        ] {
            assert_eq!(Outcome::of(&node, url).await.kind, kind, "{url}");
        }
        assert!(!names.questions().iter().any(|name| name.ends_with("internal")));
    }

    async fn what_takes_too_long_is_given_up(world: World) {
        let upstream = Upstream::start().await;
        let names = NameServer::start().await;
        names.be_silent_for("silent.test");
        let node = app(world)
            .flag("--name-servers", &names.address().to_string())
            .grant_http(&[upstream.grant(), "http://silent.test".into()])
            .start()
            .await;
        let kind = async |url: &str, which: &str| {
            let path = format!("{}&{which}=200", by("/timeouts", url));
            Outcome::parse(&node.get(&path).await).kind
        };
        assert_eq!(kind("http://silent.test/", "connect_ms").await, "ConnectionTimeout");
        let never = upstream.url("/never");
        assert_eq!(kind(&never, "first_byte_ms").await, "ConnectionReadTimeout");
        let silence = upstream.url("/silence");
        assert_eq!(kind(&silence, "between_bytes_ms").await, "ConnectionReadTimeout");
        eventually("the connections to be closed", async || (upstream.open() == 0).then_some(())).await;
    }

    async fn request_that_is_dropped_is_given_up(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        node.get(&by("/drop", &upstream.url("/never"))).await.ok();
        eventually("the connection to be closed", async || (upstream.open() == 0).then_some(())).await;
    }

    async fn client_that_leaves_takes_what_was_sent_for_it_along(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        let mut client = node.connect_raw().await;
        let path = by("/get", &upstream.url("/never"));
        client.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        eventually("the request to arrive", async || (upstream.requests() == 1).then_some(())).await;
        drop(client);
        eventually("the connection to be closed", async || (upstream.open() == 0).then_some(())).await;
    }

    async fn body_whose_source_fails_is_broken_off(world: World) {
        let upstream = Upstream::start().await;
        let node = app(world).grant_http(&[upstream.grant()]).start().await;
        node.get(&by("/body-error", &upstream.url("/echo"))).await.ok();
        eventually("the connection to be closed", async || (upstream.open() == 0).then_some(())).await;
        assert_eq!(node.get(&by("/get", &upstream.url("/"))).await.ok(), "hello");
    }

    async fn tls_is_spoken_with_whom_the_node_trusts(world: World) {
        let authority = Authority::new();
        let upstream = Upstream::start_tls(&authority.issue(&["api.test"]), &["http/1.1"]).await;
        let (names, app, _) = named(world, &upstream).await;
        names.set("other.test", &["127.0.0.1"]);
        let port = upstream.address().port();
        let folder = tempfile::tempdir().unwrap();
        let app = app
            .grant_http(&[format!("https://*.test:{port}")])
            .grant("addresses = [\"127.0.0.1\"]");
        let url = format!("https://api.test:{port}/");

        let node = app.clone().start().await;
        assert_eq!(Outcome::of(&node, &url).await.kind, "TlsCertificateError");

        let node = trusting(app, &authority, folder.path()).start().await;
        assert_eq!(node.get(&by("/get", &url)).await.ok(), "hello");
        // The next connection goes on with the session of this one.
        let closed = Outcome::of(&node, &format!("{url}close")).await;
        assert_eq!(closed.kind, "ConnectionTerminated");
        assert_eq!(node.get(&by("/get", &url)).await.ok(), "hello");
        assert!(upstream.resumed() > 0, "no session was resumed");
        // A certificate is good for its own names.
        let other = format!("https://other.test:{port}/");
        assert_eq!(Outcome::of(&node, &other).await.kind, "TlsCertificateError");
    }

    async fn http2_is_spoken_where_both_know_it_and_shared(world: World) {
        let authority = Authority::new();
        let pair = authority.issue(&["api.test"]);
        let upstream = Upstream::start_tls(&pair, &["h2", "http/1.1"]).await;
        let (_names, app, _) = named(world, &upstream).await;
        let port = upstream.address().port();
        let folder = tempfile::tempdir().unwrap();
        let app = app
            .grant_http(&[format!("https://api.test:{port}")])
            .grant("addresses = [\"127.0.0.1\"]");
        let node = trusting(app, &authority, folder.path()).start().await;
        let url = format!("https://api.test:{port}/slow?20");
        let reply = node.get(&by("/get", &url)).await;
        assert_eq!(reply.header("x-version"), Some("HTTP/2.0"));
        let before = upstream.connections();
        let reply = node.get(&format!("{}&n=20", by("/many", &url))).await;
        assert_eq!(reply.ok(), "ok 200 4\n".repeat(20));
        // One a thread of the data plane, whose every connection is shared.
        assert!(upstream.connections() <= before + 1, "{}", upstream.connections());
        let body = vec![7; 300_000];
        let echo = format!("https://api.test:{port}/echo");
        let request = Request::post(&by("/post", &echo), body.clone());
        assert!(node.send(request).await.bytes() == body);
    }
}

fn trusting(app: App, authority: &Authority, folder: &Path) -> App {
    let file = folder.join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    app.flag("--trusted-cas", file.to_str().unwrap())
}

/// Ways to write or to get at an address that isn't public. With a grant for every name and every public address none
/// of them is reached, whatever it is called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trick_reaches_an_address_that_is_not_public() {
    let upstream = Upstream::start().await;
    let port = upstream.address().port();
    let names = NameServer::start().await;
    let answers = [
        ("mapped.test", "::ffff:127.0.0.1"),
        ("nat64.test", "64:ff9b::7f00:1"),
        ("six.test", "::1"),
        ("any.test", "0.0.0.0"),
        ("any-six.test", "::"),
        ("metadata.test", "169.254.169.254"),
        ("private.test", "10.0.0.1"),
        ("cgnat.test", "100.64.0.1"),
        ("local.test", "fe80::1"),
        ("unique.test", "fd00:ec2::254"),
        ("loopback.test", "127.255.255.254"),
    ];
    for (name, address) in answers {
        names.set(name, &[address]);
    }
    let node = app(World::Wasi02)
        .flag("--name-servers", &names.address().to_string())
        .grant_http(&[format!("http://*:{port}"), format!("https://*:{port}")])
        .start()
        .await;
    let names = answers.map(|(name, _)| name.to_owned());
    let written = [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.01",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25lo]",
        "0.0.0.0",
        "0",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "LOOPBACK.test.",
        "api.example.com@127.0.0.1",
        "127.0.0.1%2eexample.com",
        "\u{2460}27.0.0.1",
        "127.0.0.1\u{3002}example.com",
        "169.254.169.254",
        "metadata.google.internal",
    ]
    .map(str::to_owned);
    for host in names.iter().chain(&written) {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let outcome = Outcome::of(&node, &url).await;
            assert!(!outcome.is_ok(), "{url}: {outcome:?}");
        }
    }
    assert_eq!(upstream.connections(), 0);
}

/// A connection that a server closes while it waits is nobody's loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_that_was_closed_while_it_waited_is_replaced() {
    let upstream = rude::one_answer_each().await;
    let node: Node = app(World::Wasi02)
        .grant_http(&[format!("http://{upstream}")])
        .start()
        .await;
    let mut connection = node.connect().await;
    for _ in 0..20 {
        let path = by("/get", &format!("http://{upstream}/"));
        assert_eq!(connection.send(Request::get(&path)).await.ok(), "once");
        // Long enough for the end of the connection to arrive sometimes, short enough for it not to at others.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What isn't HTTP is an error, whatever it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_speaks_something_else_is_an_error() {
    for garbage in rude::GARBAGE {
        let upstream = rude::always(garbage).await;
        let node = app(World::Wasi03)
            .grant_http(&[format!("http://{upstream}")])
            .start()
            .await;
        let outcome = Outcome::of(&node, &format!("http://{upstream}/")).await;
        assert!(!outcome.is_ok(), "{garbage:?}: {outcome:?}");
    }
}

/// What one tenant's functions have connected to is of no use to another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_share_no_connection() {
    let upstream = Upstream::start().await;
    let data = DataFolder::new();
    let server = data.start().await;
    let grants = format!("[function.grants]\nhttp = [{:?}]", upstream.grant());
    for (tenant, name) in [("ann", "one"), ("bob", "two")] {
        let client = server
            .tenant(tenant, Quotas::default(), Scope::Deploy)
            .await;
        let app = NewApp::new(name, "fetch", &["/*"]).line(&grants);
        app.deploy(&client).await.unwrap();
    }
    let path = by("/get", &upstream.url("/"));
    let mut used = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..10 {
        for (host, used) in ["one.example.com", "two.example.com"].iter().zip(&mut used) {
            let reply = server.get(host, &path).await;
            used.insert(reply.header("x-connection").unwrap().to_owned());
        }
    }
    let [ann, bob] = used;
    assert!(ann.is_disjoint(&bob), "{ann:?} {bob:?}");
    // One a thread of the data plane at most: each waits for the next request.
    assert!(upstream.connections() < 20, "{}", upstream.connections());
}
