//! What a function can reach: what it was given, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use everwarm_e2e::{App, World, both_worlds};

both_worlds! {
    async fn environment_is_what_the_manifest_gives(world: World) {
        let app = App::new("misbehave", world).env("GREETING", "hi").env("EMPTY", "");
        let node = app.start().await;
        assert_eq!(node.get("/env").await.ok(), "EMPTY=\nGREETING=hi\n");
    }

    async fn environment_of_the_node_is_not_the_functions(world: World) {
        let node = App::new("misbehave", world).start().await;
        assert_eq!(node.get("/env").await.ok(), "");
    }

    async fn clocks_run(world: World) {
        let node = App::new("misbehave", world).start().await;
        let text = node.get("/clock").await.ok().to_owned();
        let wall_ms: u64 = text.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
        // 2026 and later: a clock that stands at 1970 is none.
        assert!(wall_ms > 1_767_225_600_000, "{text}");
    }

    async fn random_numbers_are_random(world: World) {
        let node = App::new("misbehave", world).start().await;
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            assert!(seen.insert(node.get("/random").await.ok().to_owned()), "{seen:?}");
        }
    }

    async fn what_a_function_prints_is_in_the_log_with_its_name(world: World) {
        let node = App::new("misbehave", world).start().await;
        node.get("/stdout").await.ok();
        for (stream, line) in [("stdout", "a line on stdout"), ("stderr", "a line on stderr")] {
            let event = node.log().value(line, |value| value["fields"]["line"] == line).await;
            let fields = &event["fields"];
            assert_eq!(fields["stream"], stream);
            assert_eq!((&fields["app"], &fields["function"]), (&"misbehave".into(), &"misbehave".into()));
        }
    }

    async fn what_a_function_prints_is_shown_without_asking(world: World) {
        let node = App::new("misbehave", world).log_by_default().start().await;
        node.get("/stdout").await.ok();
        node.log().access("/stdout").await;
        node.log().line("a line on stdout").await;
    }
}
