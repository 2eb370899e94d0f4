//! Files in versions of an app: deployed, gone back to, restarted with, restored, counted, and refused where a bundle is
//! hostile or the disk has other bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use everwarm_e2e::node::{Process, everwarm_command};
use everwarm_e2e::server::{digest, problem};
use everwarm_e2e::site::{LARGE_BYTES, decoded};
use everwarm_e2e::{DataFolder, Node, Reply, Request, Server, Site};

const PUBLIC: &str = "path = \"public\"";

#[tokio::test]
async fn requests_for_files_are_in_the_log_in_metrics_and_in_usage() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    Site::sample().deploy(&client).await.unwrap();
    let got = get(&server, "/large.bin").await;
    assert_eq!(got.bytes().len(), LARGE_BYTES);
    assert_eq!(get(&server, "/style.css?1").await.ok(), "b{}");
    get(&server, "/nothing").await.failed(404, "EW3025");
    let event = server.node.log().access("/large.bin").await;
    assert_eq!(event["start"], "asset");
    assert_eq!(
        (&event["app"], &event["function"]),
        (&"site".into(), &"assets".into())
    );
    assert_eq!(event["bytes_out"], LARGE_BYTES);
    let event = server.node.log().access("/nothing").await;
    assert_eq!(event["error"], "EW3025");
    let token = format!("Bearer {}", server.first_token().expose());
    let metrics = Request::get("/metrics").header("authorization", &token);
    let metrics = server.ask_admin(metrics).await;
    assert!(
        metrics.ok().contains("start=\"asset\",status=\"2xx\"} 2"),
        "{}",
        metrics.text()
    );
    // Told to the store when the node ends, at the latest.
    drop(server.node.stop(rustix::process::Signal::TERM).await);
    let server = data.start().await;
    let rows = server
        .client()
        .usage(false, None, None)
        .await
        .unwrap()
        .items;
    let of = |class: &str| {
        let rows = rows
            .iter()
            .filter(|row| row.start_level == "asset" && row.status == class);
        rows.fold((0, 0), |sum, row| {
            (sum.0 + row.requests, sum.1 + row.bytes_out)
        })
    };
    assert_eq!(of("2xx"), (2, LARGE_BYTES as u64 + 3), "{rows:?}");
    assert_eq!(of("4xx").0, 1);
}

async fn get(server: &Server, path: &str) -> Reply {
    server.get("site.example.com", path).await
}

#[tokio::test]
async fn quota_of_requests_holds_for_files_too() {
    let data = DataFolder::new();
    let server = data.start().await;
    let quotas = serde_json::json!({"requests_per_second": 1});
    let quotas = serde_json::from_value(quotas).unwrap();
    let client = server
        .tenant("ann", quotas, everwarm_api::messages::Scope::Deploy)
        .await;
    Site::sample().deploy(&client).await.unwrap();
    let mut connection = everwarm_e2e::Connection::http1(server.node.address()).await;
    let mut refused = None;
    for _ in 0..100 {
        let request = Request::get("/style.css").header("host", "site.example.com");
        let reply = connection.send(request).await;
        if reply.status() == 429 {
            refused = Some(reply);
            break;
        }
    }
    refused
        .expect("one a second is allowed")
        .failed(429, "EW3021");
}

#[tokio::test]
async fn rollback_serves_the_old_files_and_previews_serve_their_own() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let version = |text: &str| {
        Site::new()
            .file("public/a.txt", text.to_owned())
            .assets(PUBLIC)
    };
    let one = version("one").deploy(&client).await.unwrap();
    let two = version("two").deploy(&client).await.unwrap();
    assert_ne!(one.version.id, two.version.id);
    assert!(two.version.assets.is_some());
    assert_eq!(get(&server, "/a.txt").await.ok(), "two");
    let preview = format!("0{}--site.example.com", one.version.short);
    assert_eq!(server.get(&preview, "/a.txt").await.ok(), "one");
    client
        .roll_back("site", &everwarm_api::messages::Rollback::default())
        .await
        .unwrap();
    assert_eq!(get(&server, "/a.txt").await.ok(), "one");
    let again = version("one").deploy(&client).await.unwrap();
    assert_eq!(
        again.version.id, one.version.id,
        "the same files are the same version"
    );
}

#[tokio::test]
async fn canary_has_files_of_its_own() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let version = |text: &str| {
        Site::new()
            .file("public/a.txt", text.to_owned())
            .assets(PUBLIC)
    };
    version("one").deploy(&client).await.unwrap();
    let bundle = version("two").bundle();
    client
        .put_assets(&digest(&bundle), bundle.clone())
        .await
        .unwrap();
    let deploy = everwarm_api::messages::Deploy {
        manifest: version("two").manifest(),
        components: [].into(),
        assets: Some(digest(&bundle)),
        migrations: [].into(),
        percent: Some(50),
        sticky_header: Some("x-user".to_owned()),
        health: Some(everwarm_api::messages::HealthCheck {
            path: "/a.txt".to_owned(),
        }),
    };
    client.deploy("site", &deploy, None).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..40 {
        let request = Request::get("/a.txt").header("host", "site.example.com");
        let reply = server
            .node
            .send(request.header("x-user", &user.to_string()))
            .await;
        seen.insert(reply.ok().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn hostile_bundles_are_refused_and_what_serves_goes_on() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let good = Site::new().file("public/a.txt", "good").assets(PUBLIC);
    good.deploy(&client).await.unwrap();
    let bundle = good.bundle();
    let renamed = |to: &[u8; 14]| {
        let mut bytes = bundle.to_vec();
        // `files/public/a.txt`: the path behind the folder, and the sum of the head anew.
        bytes[6..6 + 12].copy_from_slice(&to[..12]);
        let mut header = tar_head(&bytes);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        Bytes::from(bytes)
    };
    let link = {
        let mut bytes = bundle.to_vec();
        let mut header = tar_head(&bytes);
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_link_name("/etc/passwd").unwrap();
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        Bytes::from(bytes)
    };
    for (what, bytes, code, says) in [
        ("a way up", renamed(b"a/../../a.tx\0\0"), "EW2013", "`..`"),
        (
            "a backslash",
            renamed(b"public\\a.txt\0\0"),
            "EW2013",
            "backslash",
        ),
        (
            "an absolute path",
            renamed(b"/ublic/a.txt\0\0"),
            "EW2013",
            "`/`",
        ),
        (
            "no UTF-8",
            renamed(b"public/\xff.txt\0\0"),
            "EW2013",
            "UTF-8",
        ),
        ("a link", link, "EW2013", "a link"),
        ("half of it", bundle.slice(..700), "EW2013", "middle"),
        (
            "more than it",
            [&bundle[..], b"more"].concat().into(),
            "EW2013",
            "after its end",
        ),
        (
            "no archive",
            Bytes::from_static(&[7; 2_000]),
            "EW2013",
            "damaged",
        ),
        ("nothing", Bytes::new(), "EW2013", "middle"),
        (
            "another folder",
            Site::new().file("other/a.txt", "").bundle(),
            "EW2015",
            "public",
        ),
    ] {
        let problem = problem(good.deploy_with(&client, bytes).await);
        assert_eq!(
            (&*problem.code, problem.stage.as_deref()),
            (code, Some("verify")),
            "{what}: {problem:?}"
        );
        assert!(problem.detail.contains(says), "{what}: {}", problem.detail);
    }
    let no_bundle = problem(
        client
            .deploy(
                "site",
                &everwarm_api::messages::Deploy {
                    manifest: good.manifest(),
                    components: [].into(),
                    assets: None,
                    migrations: [].into(),
                    percent: None,
                    sticky_header: None,
                    health: None,
                },
                None,
            )
            .await,
    );
    assert_eq!(no_bundle.code, "EW2015");
    assert_eq!(get(&server, "/a.txt").await.ok(), "good");
}

fn tar_head(bytes: &[u8]) -> tar::Header {
    tar::Header::from_byte_slice(&bytes[..512]).clone()
}

#[tokio::test]
async fn files_are_served_after_a_kill_and_damaged_ones_never() {
    let data = DataFolder::new();
    let server = data.start().await;
    let site = Site::sample();
    site.deploy(&server.client()).await.unwrap();
    let server = server.kill_and_restart(&data).await;
    assert_eq!(get(&server, "/docs/").await.ok(), "<h1>docs</h1>");
    assert!(get(&server, "/large.bin").await.bytes() == Site::large());

    // Where a file of it is, a byte is another one now. What was read stays right; what is read now is found out.
    let bundle = site.bundle();
    let name = digest(&bundle).trim_start_matches("sha256:").to_owned();
    let path = data
        .path()
        .join("artifacts/default")
        .join(&name[..2])
        .join(format!("{name}.wasm"));
    let mut bytes = std::fs::read(&path).unwrap();
    for content in ["b{}", "with a space"] {
        let at = bytes
            .windows(content.len())
            .position(|bytes| bytes == content.as_bytes())
            .unwrap();
        bytes[at] ^= 1;
    }
    let large = Site::large();
    let end = &large[LARGE_BYTES - 64..];
    let at = bytes.windows(64).position(|bytes| bytes == end).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(get(&server, "/docs/").await.ok(), "<h1>docs</h1>");
    let problem = get(&server, "/style.css").await.failed(500, "EW3026");
    assert!(
        !problem.to_string().contains("artifacts"),
        "no path of the node is told: {problem}"
    );
    let broken = get(&server, "/large.bin").await;
    assert!(broken.is_broken(), "a part of it isn't taken for the whole");
    assert!(
        large.starts_with(broken.received()),
        "no wrong byte was sent"
    );

    // A node that starts with it serves none of it, and says so.
    let server = server.kill_and_restart(&data).await;
    get(&server, "/docs/").await.failed(500, "EW3026");
    server.node.log().line("deploy the app again").await;
    // The same bytes again mend it.
    server
        .client()
        .put_assets(&digest(&bundle), bundle)
        .await
        .unwrap();
    everwarm_e2e::eventually("the files are served again", async || {
        (get(&server, "/style.css").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn command_line_uploads_a_bundle_once() {
    let data = DataFolder::new();
    let server = data.start().await;
    let folder = Site::sample().write();
    for expected in ["1 uploaded", "0 uploaded"] {
        let mut command = everwarm_command();
        command
            .args(["deploy", "--node", server.admin()])
            .arg(folder.path());
        let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
        command.env("EVERWARM_TOKEN", token.trim());
        let mut process = Process::start(command);
        let status = process.ended().await;
        assert!(status.success(), "{status}\n{}", process.log);
        process.out.line(expected).await;
    }
    let reply = server
        .node
        .send(
            Request::get("/assets/app.0123.js")
                .header("host", "site.example.com")
                .header("accept-encoding", "br"),
        )
        .await;
    assert_eq!(reply.header("content-encoding"), Some("br"));
    assert_eq!(decoded(&reply), Site::text());
    get(&server, "/.env").await.failed(404, "EW3025");
}

#[tokio::test]
async fn restored_node_serves_the_same_files() {
    let data = DataFolder::new();
    let server = data.start().await;
    Site::sample().deploy(&server.client()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("backup.tar");
    let mut command = everwarm_command();
    command
        .args(["backup", "--node", server.admin()])
        .arg(&archive);
    command.env(
        "EVERWARM_TOKEN",
        std::fs::read_to_string(data.path().join("admin.token"))
            .unwrap()
            .trim(),
    );
    let mut process = Process::start(command);
    assert!(process.ended().await.success(), "{}", process.log);
    let other = DataFolder::new();
    let mut command = everwarm_command();
    command
        .arg("restore")
        .arg(&archive)
        .arg("--data-dir")
        .arg(other.path());
    let mut process = Process::start(command);
    assert!(process.ended().await.success(), "{}", process.log);
    let node = Node::ready(other.command()).await;
    let ask = |path| Request::get(path).header("host", "site.example.com");
    assert_eq!(node.send(ask("/docs/")).await.ok(), "<h1>docs</h1>");
    assert!(node.send(ask("/large.bin")).await.bytes() == Site::large());
}
