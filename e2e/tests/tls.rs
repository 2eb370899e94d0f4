//! TLS in front of functions: which certificate a name gets, what is spoken, and what goes wrong alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use everwarm_e2e::node;
use everwarm_e2e::raw::Raw;
use everwarm_e2e::{
    Authority, Connection, DataFolder, NewApp, Request, Server, TlsClient, eventually,
};
use tempfile::TempDir;

const H2_AND_1: [&str; 2] = ["h2", "http/1.1"];

/// A node that speaks TLS with the certificates of a folder, and serves `hello` at its own host and one below
/// `wild.example.org`.
struct Node {
    server: Server,
    authority: Authority,
    folder: TempDir,
    _data: DataFolder,
}

impl Node {
    async fn start(pairs: &[(&str, &[&str])], flags: &[&str]) -> Self {
        let (data, folder) = (DataFolder::new(), tempfile::tempdir().unwrap());
        let authority = Authority::new();
        for (name, hosts) in pairs {
            authority.issue(hosts).write(folder.path(), name);
        }
        let mut command = data.command();
        command.args(["--tls-listen", "127.0.0.1:0", "--tls-certificates"]);
        command.arg(folder.path()).args(flags);
        let server = data.start_with(command).await;
        NewApp::new("shop", "hello", &["/*", "*.wild.example.org/*"])
            .deploy(&server.client())
            .await
            .unwrap();
        Self {
            server,
            authority,
            folder,
            _data: data,
        }
    }

    fn client(&self) -> TlsClient {
        self.authority.client(&H2_AND_1)
    }

    async fn hello(&self, connection: &mut Connection, host: &str) {
        let reply = connection
            .send(Request::get("/").header("host", host))
            .await;
        assert_eq!(reply.ok(), "Hello from Everwarm\n", "{host}");
    }

    /// Waits until a name gets a certificate that isn't this one.
    async fn other_certificate(&self, name: &str, old: &[u8]) -> Vec<u8> {
        let client = self.authority.client(&[]);
        let address = self.server.tls_address();
        eventually("another certificate", async || {
            // Without a session of an earlier handshake, which would have its certificate.
            let shown = client.try_connect(address, name).await.ok()?.certificate();
            (shown != old).then_some(shown)
        })
        .await
    }
}

fn der(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(format!("{name}.crt"))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_chooses_the_certificate_and_alpn_the_protocol() {
    let pairs: [(&str, &[&str]); 2] = [
        ("shop", &["shop.example.com"]),
        ("wild", &["*.wild.example.org"]),
    ];
    let node = Node::start(&pairs, &[]).await;
    let address = node.server.tls_address();
    for (alpn, protocol) in [
        (&H2_AND_1[..], Some("h2")),
        (&["http/1.1"][..], Some("http/1.1")),
        (&[][..], None),
    ] {
        let client = node.authority.client(alpn);
        let mut shown = Vec::new();
        // The client checks that each certificate is for the name that it asked for.
        for host in ["shop.example.com", "a.wild.example.org"] {
            let secured = client.connect(address, host).await;
            assert_eq!(secured.protocol().as_deref(), protocol);
            shown.push(secured.certificate());
            node.hello(&mut secured.http().await, host).await;
        }
        assert_ne!(shown[0], shown[1]);
    }
    // The plain listener serves as before.
    let reply = node.server.get("shop.example.com", "/").await;
    assert_eq!(reply.ok(), "Hello from Everwarm\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn function_hears_that_it_was_asked_over_tls() {
    let node = Node::start(&[("shop", &["probe.example.com"])], &[]).await;
    NewApp::new("probe", "wstd", &["/*"])
        .deploy(&node.server.client())
        .await
        .unwrap();
    for alpn in [&["h2"][..], &["http/1.1"][..]] {
        let client = node.authority.client(alpn);
        let secured = client
            .connect(node.server.tls_address(), "probe.example.com")
            .await;
        let request = Request::get("/scheme").header("host", "probe.example.com");
        let reply = secured.http().await.send(request).await;
        assert_eq!(reply.ok(), "https", "{alpn:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_is_resumed() {
    let node = Node::start(&[("shop", &["shop.example.com"])], &[]).await;
    let client = node.client();
    let address = node.server.tls_address();
    let first = client.connect(address, "shop.example.com").await;
    assert!(!first.is_resumed());
    // The tickets come with the first answer.
    node.hello(&mut first.http().await, "shop.example.com")
        .await;
    assert!(
        client
            .connect(address, "shop.example.com")
            .await
            .is_resumed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_is_read_again_and_open_connections_go_on() {
    let node = Node::start(&[("shop", &["shop.example.com"])], &[]).await;
    let address = node.server.tls_address();
    let secured = node.client().connect(address, "shop.example.com").await;
    let old = secured.certificate();
    let mut open = secured.http().await;
    node.hello(&mut open, "shop.example.com").await;

    let new = node
        .authority
        .issue(&["shop.example.com", "new.example.com"]);
    new.write(node.folder.path(), "shop");
    assert_eq!(
        node.other_certificate("shop.example.com", &old).await,
        new.der
    );
    node.client().connect(address, "new.example.com").await;
    node.hello(&mut open, "shop.example.com").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_pair_is_logged_with_its_path_and_the_old_one_stays() {
    let node = Node::start(&[("shop", &["shop.example.com"])], &[]).await;
    let address = node.server.tls_address();
    let before = node.client().connect(address, "shop.example.com").await;
    let path = node.folder.path().join("shop.crt");
    let whole = der(node.folder.path(), "shop");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let line = node.server.node.log().line("EW4030").await;
    assert!(line.contains(path.to_str().unwrap()), "{line}");
    let after = node.authority.client(&[]);
    let after = after.connect(address, "shop.example.com").await;
    assert_eq!(after.certificate(), before.certificate());
    node.hello(&mut after.http().await, "shop.example.com")
        .await;

    // A start with a broken pair serves the others.
    drop(before);
    node.authority
        .issue(&["other.example.com"])
        .write(node.folder.path(), "other");
    let data = DataFolder::new();
    let mut command = data.command();
    command.args(["--tls-listen", "127.0.0.1:0", "--tls-certificates"]);
    let server = data.start_with({
        command.arg(node.folder.path());
        command
    });
    let server = server.await;
    let client = node.client();
    client
        .connect(server.tls_address(), "other.example.com")
        .await;
    assert!(
        client
            .try_connect(server.tls_address(), "shop.example.com")
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_name_gets_the_standard_alert_or_the_default_certificate() {
    let node = Node::start(&[("shop", &["shop.example.com"])], &[]).await;
    let address = node.server.tls_address();
    for name in ["unknown.example.com", "127.0.0.1"] {
        let error = node.client().try_connect(address, name).await.unwrap_err();
        assert!(
            error.to_string().contains("UnrecognisedName"),
            "{name}: {error}"
        );
    }
    let default = node.authority.issue(&["unknown.example.com", "127.0.0.1"]);
    default.write(node.folder.path(), "default");
    eventually("the default certificate", async || {
        node.client().try_connect(address, "127.0.0.1").await.ok()
    })
    .await;
    let secured = node.client().connect(address, "unknown.example.com").await;
    assert_eq!(secured.certificate(), default.der);
    let secured = node.client().connect(address, "shop.example.com").await;
    assert_ne!(secured.certificate(), default.der);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshake_that_is_never_finished_ends_and_one_without_tls_is_told() {
    let node = Node::start(&[("shop", &["shop.example.com"])], &[]).await;
    let address = node.server.tls_address();
    // The first bytes of a handshake, and nothing more; and not even those.
    let (mut half, mut silent) = (Raw::connect(address).await, Raw::connect(address).await);
    half.write([22, 3, 1, 2, 0, 1]).await;

    let mut plain = Raw::connect(address).await;
    let told = plain
        .last_words("GET / HTTP/1.1\r\nhost: shop.example.com\r\n\r\n")
        .await;
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    assert!(told.contains("HTTPS"), "{told}");
    let mut noise = Raw::connect(address).await;
    noise.write([0; 64]).await;
    noise.read_to_end().await;

    // Others are served meanwhile.
    let secured = node.client().connect(address, "shop.example.com").await;
    node.hello(&mut secured.http().await, "shop.example.com")
        .await;
    half.read_to_end().await;
    assert!(silent.read_to_end().await.is_empty());

    let metrics = {
        let token = node.server.first_token().expose();
        let request = Request::get("/metrics").header("authorization", &format!("Bearer {token}"));
        let admin = node.server.node.ready["admin"].as_str().unwrap();
        let mut connection = Connection::http1(admin.parse().unwrap()).await;
        connection.send(request).await.ok().to_owned()
    };
    for line in [
        "everwarm_handshake_failures_total{reason=\"timeout\"} 2",
        "everwarm_handshake_failures_total{reason=\"not_tls\"} 1",
        "everwarm_handshake_failures_total{reason=\"protocol\"} 1",
        "everwarm_certificate_seconds{certificate=\"shop\",source=\"file\"}",
    ] {
        assert!(metrics.contains(line), "{line} isn't in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_listener_sends_to_https_if_it_is_told_so() {
    let node = Node::start(&[("shop", &["shop.example.com"])], &["--https-only"]).await;
    let port = node.server.tls_address().port();
    let reply = node.server.get("shop.example.com:80", "/a?b=c").await;
    assert_eq!(reply.status(), 308);
    let location = format!("https://shop.example.com:{port}/a?b=c");
    assert_eq!(reply.header("location"), Some(&*location));
    let reply = node.server.get("user@shop.example.com", "/").await;
    assert_eq!(reply.status(), 400);
    let secured = node.client();
    let secured = secured
        .connect(node.server.tls_address(), "shop.example.com")
        .await;
    node.hello(&mut secured.http().await, "shop.example.com")
        .await;
}

#[tokio::test]
async fn start_without_the_folder_says_which() {
    let data = DataFolder::new();
    let mut command = data.command();
    command.args([
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-certificates",
        "/nowhere",
    ]);
    let refusal = node::refused(command).await;
    assert_eq!(refusal.code, "EW4031");
    assert!(refusal.message.contains("/nowhere"), "{}", refusal.message);
}
