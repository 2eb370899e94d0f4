//! What a function can reach: what it was given, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};

use everwarm_e2e::{App, World, both_worlds};

/// A port at which somebody listens, for connections and for datagrams.
struct Port {
    connections: TcpListener,
    datagrams: UdpSocket,
}

impl Port {
    fn open() -> Self {
        // The two kinds of ports have nothing to do with each other, so the same number may be taken.
        for _ in 0..100 {
            let connections = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(datagrams) = UdpSocket::bind(connections.local_addr().unwrap()) {
                connections.set_nonblocking(true).unwrap();
                datagrams.set_nonblocking(true).unwrap();
                return Self {
                    connections,
                    datagrams,
                };
            }
        }
        panic!("no port is free for both");
    }

    fn number(&self) -> u16 {
        self.connections.local_addr().unwrap().port()
    }

    /// That nobody has come.
    fn is_untouched(&self) {
        let came = self
            .connections
            .accept()
            .map(|_| ())
            .map_err(|error| error.kind());
        assert_eq!(came, Err(ErrorKind::WouldBlock), "a connection came");
        let came = self
            .datagrams
            .recv(&mut [0; 64])
            .map(|_| ())
            .map_err(|error| error.kind());
        assert_eq!(came, Err(ErrorKind::WouldBlock), "a datagram came");
    }
}

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

    async fn files_sockets_and_names_are_refused(world: World) {
        let node = App::new("misbehave", world).start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "secret").unwrap();
        let port = Port::open();
        let path = format!("/reach?port={}&file={}", port.number(), file.display());
        let reply = node.get(&path).await;
        let expected = [
            "list a folder: NotFound",
            "read a file: NotFound",
            "make a file: NotFound",
            "remove a file: NotFound",
            "connect: PermissionDenied",
            "listen: PermissionDenied",
            "send a datagram: PermissionDenied",
            "look a name up: Uncategorized",
        ];
        assert_eq!(reply.ok().lines().collect::<Vec<_>>(), expected);
        port.is_untouched();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "secret");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a file was made");
    }

    async fn node_itself_is_out_of_reach(world: World) {
        let node = App::new("misbehave", world).start().await;
        let path = format!("/reach?port={}", node.address().port());
        let reply = node.get(&path).await;
        assert!(reply.ok().contains("\nconnect: PermissionDenied\n"), "{reply:?}");
    }

    async fn interfaces_of_files_sockets_and_requests_refuse_with_their_own_errors(world: World) {
        let (guest, denied, unresolved) = match world {
            World::Wasi02 => ("misbehave-raw02", "access-denied", "permanent-resolver-failure"),
            World::Wasi03 => ("misbehave-raw03", "AccessDenied", "PermanentResolverFailure"),
        };
        let node = App::new(guest, world).start().await;
        let port = Port::open();
        let reply = node.get(&format!("/reach/{}", port.number())).await;
        let mut lines: Vec<&str> = reply.ok().lines().collect();
        // In 0.2 nobody listens who hasn't bound before.
        lines.retain(|line| !line.starts_with("listen: ErrorCode::AccessDenied"));
        let expected = [
            ("folders", "0"),
            ("connect", denied),
            ("bind", denied),
            ("bind for datagrams", denied),
            ("send a datagram", denied),
            ("look a name up", unresolved),
            ("send a request", "HttpRequestDenied"),
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, (what, how)) in lines.iter().zip(expected) {
            let (attempt, outcome) = line.split_once(": ").unwrap();
            assert!(attempt == what && outcome.contains(how), "{line} instead of {what}: {how}");
        }
        port.is_untouched();
    }
}
