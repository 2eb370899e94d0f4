//! Clients that leave in the middle: what was done for them ends.

use everwarm_e2e::{App, Request, World, both_worlds, eventually};

/// Long enough that it is never waited for.
const NEVER: &str = "ms=3600000";

both_worlds! {
    async fn client_that_leaves_before_the_answer_ends_its_request(world: World) {
        let path = format!("/sleep?{NEVER}");
        let node = App::new("misbehave", world).limit("wall_time", "2h").concurrency(1).start().await;
        let mut raw = node.connect_raw().await;
        raw.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        eventually("the request is inside", async || {
            (node.get("/counter").await.header("everwarm-error") == Some("EW3011")).then_some(())
        })
        .await;
        drop(raw);
        let event = node.log().access(&path).await;
        assert_eq!((&event["status"], &event["error"]), (&499.into(), &"EW3018".into()), "{event}");
        eventually("its place is free", async || {
            (node.get("/counter").await.status() == 200).then_some(())
        })
        .await;
    }

    async fn client_that_leaves_in_the_middle_of_a_stream_ends_it(world: World) {
        let path = format!("/sse?chunks=2&{NEVER}");
        let node = App::new("misbehave", world).limit("wall_time", "2h").concurrency(1).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            let mut open = connection.open(Request::get(&path)).await;
            open.expect("event: tick\ndata: 0\n\n").await;
            drop((open, connection));
            eventually("its place is free", async || {
                (node.get("/counter").await.status() == 200).then_some(())
            })
            .await;
        }
        assert_eq!(node.log().access(&path).await["error"], "EW3018");
    }

    async fn loop_of_a_client_that_left_ends(world: World) {
        let app = App::new("misbehave", world).limit("cpu_time", "4m").limit("wall_time", "4m");
        let node = app.concurrency(1).start().await;
        let mut raw = node.connect_raw().await;
        raw.write("GET /loop HTTP/1.1\r\nhost: a\r\n\r\n").await;
        eventually("the request is inside", async || {
            (node.get("/counter").await.header("everwarm-error") == Some("EW3011")).then_some(())
        })
        .await;
        drop(raw);
        // Long before the loop reaches a limit of its own.
        eventually("its place is free", async || {
            (node.get("/counter").await.status() == 200).then_some(())
        })
        .await;
    }

    async fn client_that_breaks_off_its_body_is_told_to_the_function(world: World) {
        let node = App::new("echo", world).start().await;
        let mut raw = node.connect_raw().await;
        raw.write("POST /count?broken HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
        drop(raw);
        // The function sees an error where a shorter body would have been a lie.
        let event = node.log().access("/count?broken").await;
        assert_ne!(event["status"], 200, "{event}");
    }
}
