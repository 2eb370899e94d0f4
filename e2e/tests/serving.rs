//! What a newcomer sees first: functions answer, over HTTP/1.1 and HTTP/2, whatever they are built with.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Request, World, both_worlds};
use http::Method;

both_worlds! {
    async fn hello_is_served(world: World) {
        let node = App::new("hello", world).start().await;
        let reply = node.get("/").await;
        assert_eq!(reply.ok(), "Hello from Everwarm\n");
        assert_eq!(reply.header("content-length"), Some("20"));
        let type_ = reply.header("content-type").unwrap_or_default();
        assert!(type_.starts_with("text/plain"), "{type_}");
    }

    async fn app_is_reached_by_its_name_below_localhost(world: World) {
        let node = App::new("hello", world).start().await;
        let host = format!("hello.localhost:{}", node.address().port());
        let reply = node.send(Request::get("/").header("host", &host)).await;
        assert_eq!(reply.ok(), "Hello from Everwarm\n");
        let urls = node.ready["urls"].to_string();
        assert!(urls.contains(&format!("http://{host}")), "{urls}");
    }

    async fn method_path_query_and_headers_reach_the_function(world: World) {
        let node = App::new("echo", world).start().await;
        let request = Request::new(Method::PATCH, "/head?a=1&b=%20")
            .header("x-one", "1")
            .header("x-many", "a")
            .header("x-many", "b");
        let reply = node.send(request).await;
        let lines: Vec<&str> = reply.ok().lines().collect();
        assert!(lines[0].starts_with("PATCH ") && lines[0].ends_with("/head?a=1&b=%20"), "{lines:?}");
        for line in ["x-one: 1", "x-many: a", "x-many: b"] {
            assert!(lines.contains(&line), "{line} is not in {lines:?}");
        }
    }

    async fn body_and_its_type_come_back(world: World) {
        let node = App::new("echo", world).limit("cpu_time", "10s").start().await;
        let body: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let request = Request::post("/", body.clone()).header("content-type", "application/x-test");
        let reply = node.send(request).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.header("content-type"), Some("application/x-test"));
        assert!(reply.bytes() == body, "the body came back changed");
    }

    async fn status_of_the_function_is_the_status_of_the_response(world: World) {
        let node = App::new("misbehave", world).start().await;
        for code in [200, 201, 204, 301, 404, 418, 503, 599] {
            let reply = node.get(&format!("/status?code={code}")).await;
            assert_eq!(reply.status().as_u16(), code);
            assert_eq!(reply.header("everwarm-error"), None, "{code} is the function's own");
        }
    }

    async fn errors_of_a_function_are_problem_documents(world: World) {
        let node = App::new("misbehave", world).start().await;
        let reply = node.get("/problem").await;
        assert_eq!(reply.status(), 418);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(reply.json()["detail"], "short and stout");
        let reply = node.get("/error").await;
        assert_eq!(reply.status(), 500);
        assert!(!reply.text().contains("invalid digit"), "the cause is for the log: {reply:?}");
        node.log().line("invalid digit").await;
    }

    async fn connection_is_kept_for_many_requests(world: World) {
        let node = App::new("hello", world).start().await;
        let mut connection = node.connect().await;
        for _ in 0..100 {
            assert_eq!(connection.get("/").await.ok(), "Hello from Everwarm\n");
        }
    }

    async fn head_has_the_headers_and_no_body(world: World) {
        let node = App::new("hello", world).start().await;
        let mut raw = node.connect_raw().await;
        let head = "HEAD / HTTP/1.1\r\nhost: hello\r\n\r\n";
        let last = "GET / HTTP/1.1\r\nhost: hello\r\nconnection: close\r\n\r\n";
        raw.write(head.to_owned() + last).await;
        let seen = String::from_utf8(raw.read_to_end().await).unwrap();
        // Were there a body, the second response wouldn't begin where the first one's head ends.
        let (first, second) = seen.split_once("\r\n\r\n").unwrap();
        assert!(first.starts_with("HTTP/1.1 200"), "{seen}");
        assert!(second.starts_with("HTTP/1.1 200"), "{seen}");
        assert!(second.ends_with("Hello from Everwarm\n"), "{seen}");
    }

    async fn http_2_is_spoken_by_prior_knowledge(world: World) {
        let node = App::new("echo", world).start().await;
        let mut connection = node.connect_http2().await;
        let reply = connection.send(Request::post("/count", "12345")).await;
        assert_eq!(reply.ok(), "5\n");
        let reply = connection.get("/head").await;
        assert!(reply.ok().starts_with("GET "), "{reply:?}");
    }

    async fn streams_of_one_http_2_connection_run_at_once(world: World) {
        let node = App::new("echo", world).start().await;
        let mut connection = node.connect_http2().await;
        let mut streams = Vec::new();
        for number in 0..20 {
            let (request, sender) = Request::stream("/");
            sender.send(format!("{number}")).await.unwrap();
            let response = connection.open(request).await;
            streams.push((number, sender, response));
        }
        // All are open; each goes on on its own, the last first.
        for (number, _, response) in streams.iter_mut().rev() {
            response.expect(&number.to_string()).await;
        }
        for (_, sender, response) in streams {
            sender.send("end").await.unwrap();
            drop(sender);
            assert_eq!(response.read().await.ok(), "end");
        }
    }

    async fn response_says_that_the_function_was_warm(world: World) {
        let node = App::new("hello", world).start().await;
        node.get("/").await.ok();
        let reply = node.get("/").await;
        let timing = reply.header("server-timing").unwrap_or_default();
        assert!(timing.starts_with("everwarm;desc=\"warm\";dur="), "{timing}");
    }

    async fn access_event_has_the_figures_of_its_request(world: World) {
        let node = App::new("echo", world).start().await;
        node.send(Request::post("/count?figures", "12345")).await.ok();
        let event = node.log().access("/count?figures").await;
        assert_eq!((&event["method"], &event["status"]), (&"POST".into(), &200.into()), "{event}");
        assert_eq!((&event["app"], &event["function"]), (&"echo".into(), &"echo".into()), "{event}");
        assert_eq!((&event["bytes_in"], &event["bytes_out"]), (&5.into(), &2.into()), "{event}");
        assert!(event["memory_peak"].as_u64().is_some_and(|bytes| bytes > 0), "{event}");
        assert!(event["cpu_us"].is_u64() && event["wall_us"].is_u64(), "{event}");
        assert!(event["error"].is_null(), "{event}");
    }
}

#[tokio::test]
async fn guests_of_other_toolchains_run_the_same() {
    let guests = [
        ("wstd", World::Wasi02, "Hello from wstd\n"),
        ("wasip3", World::Wasi03, "Hello from wasip3\n"),
        ("raw02", World::Wasi02, "Hello from Everwarm\n"),
        ("raw03", World::Wasi03, "Hello from Everwarm\n"),
    ];
    for (guest, world, hello) in guests {
        let node = App::new(guest, world).start().await;
        let mut connection = node.connect().await;
        for _ in 0..3 {
            assert_eq!(connection.get("/").await.ok(), hello, "{guest}");
        }
    }
}

#[tokio::test]
async fn guests_of_other_toolchains_can_be_reused() {
    for (guest, world, isolation) in [
        ("wstd", World::Wasi02, "serial"),
        ("raw02", World::Wasi02, "serial"),
        ("wasip3", World::Wasi03, "concurrent"),
        ("raw03", World::Wasi03, "concurrent"),
    ] {
        let node = App::new(guest, world).isolation(isolation).start().await;
        let mut connection = node.connect().await;
        for _ in 0..10 {
            assert!(
                connection.get("/").await.ok().starts_with("Hello"),
                "{guest}"
            );
        }
    }
}
