//! Secrets from the command line to a function that runs: who gets them, what is kept of them, and what their keys are
//! worth.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Output, Stdio};

use everwarm_api::messages::{LogQuery, Quotas, Scope, Secret, SecretRollback};
use everwarm_api::token::Token;
use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::server::problem;
use everwarm_e2e::{App, DataFolder, NewApp, Request, Server, World, component, eventually};
use rustix::process::Signal;

/// What nobody may find anywhere.
const VALUE: &str = "sk_test_c4nary-51ab3e";

/// An app whose function may read `KEY` and `OTHER`.
fn shop(world: World) -> NewApp {
    NewApp::of("shop", &component("config", world), &["/*"])
        .line("[function.config]\nREGION = \"eu\"")
        .line("[function.grants]\nsecrets = [\"KEY\", \"OTHER\"]")
}

/// Runs the command line against a node, with this on its standard input.
async fn everwarm(server: &Server, token: &Token, args: &[&str], stdin: &[u8]) -> Output {
    let mut command = everwarm_command();
    command
        .args(args)
        .env("EVERWARM_NODE", server.admin())
        .env("EVERWARM_TOKEN", token.expose())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let stdin = stdin.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // One that has read enough may be gone.
        let _ = child.stdin.take().unwrap().write_all(&stdin);
        child.wait_with_output().unwrap()
    });
    run.await.unwrap()
}

async fn set(server: &Server, app: &str, name: &str, value: &[u8]) -> Output {
    let args = ["secret", "set", app, name];
    let output = everwarm(server, server.first_token(), &args, value).await;
    assert!(output.status.success(), "{output:?}");
    output
}

async fn get(server: &Server, path: &str) -> String {
    let reply = server.get("shop.example.com", path).await;
    reply.ok().to_owned()
}

async fn list(server: &Server, app: &str) -> Vec<Secret> {
    server.client().secrets(app).await.unwrap().items
}

/// What the node says of the app's functions.
async fn notices(server: &Server, app: &str) -> Vec<String> {
    let logs = server.client().logs(app, &LogQuery::default()).await;
    let lines = logs.unwrap().items.into_iter();
    let said = lines.filter(|line| line.source == "node");
    said.map(|line| line.text).collect()
}

everwarm_e2e::both_worlds! {
    async fn secret_that_is_set_reaches_functions_that_run(world: World) {
        let data = DataFolder::new();
        let server = data.start().await;
        shop(world).deploy(&server.client()).await.unwrap();
        assert_eq!(get(&server, "/get/REGION").await, "value eu\n");

        // One that isn't set is an error of the interface's own, and the log says what to do.
        let unset = get(&server, "/get/KEY").await;
        assert!(unset.starts_with("Upstream("), "{unset}");
        assert!(unset.contains("everwarm secret set shop KEY"), "{unset}");
        assert!(notices(&server, "shop").await[0].contains("the secret `KEY` isn't set"));
        assert_eq!(get(&server, "/all").await, "REGION=eu\n");

        // A request that has begun goes on, and asks for the new value when it asks again.
        let (request, body) = Request::stream("/twice/KEY");
        let request = request.header("host", "shop.example.com");
        let mut connection = server.node.connect().await;
        let answered = tokio::spawn(async move { connection.send(request).await });
        body.send("x").await.unwrap();
        set(&server, "shop", "KEY", VALUE.as_bytes()).await;
        assert_eq!(get(&server, "/get/KEY").await, format!("value {VALUE}\n"));
        drop(body);
        let twice = answered.await.unwrap();
        assert!(twice.ok().ends_with(&format!("value {VALUE}\n")), "{twice:?}");
        assert_eq!(get(&server, "/all").await, format!("REGION=eu\nKEY={VALUE}\n"));

        set(&server, "shop", "KEY", b"two").await;
        assert_eq!(get(&server, "/get/KEY").await, "value two\n");
        let back = ["secret", "rollback", "shop", "KEY"];
        let back = everwarm(&server, server.first_token(), &back, b"").await;
        assert!(back.status.success(), "{back:?}");
        assert_eq!(get(&server, "/get/KEY").await, format!("value {VALUE}\n"));
        let rm = ["secret", "rm", "shop", "KEY"];
        let rm = everwarm(&server, server.first_token(), &rm, b"").await;
        assert!(rm.status.success(), "{rm:?}");
        assert!(get(&server, "/get/KEY").await.starts_with("Upstream("));
    }

    async fn secret_that_is_not_granted_is_not_there_and_the_log_names_the_grant(world: World) {
        let data = DataFolder::new();
        let server = data.start().await;
        let ann = server.tenant("ann", Quotas::default(), Scope::Admin).await;
        shop(world).deploy(&server.client()).await.unwrap();
        set(&server, "shop", "HIDDEN", VALUE.as_bytes()).await;
        set(&server, "blog", "KEY", b"of another app").await;
        ann.put_secret("shop", "KEY", &"of another tenant".into()).await.unwrap();

        assert_eq!(get(&server, "/get/HIDDEN").await, "none\n");
        assert_eq!(get(&server, "/get/HIDDEN").await, "none\n");
        assert_eq!(get(&server, "/get/no-name%21").await, "none\n");
        assert!(get(&server, "/get/KEY").await.starts_with("Upstream("));
        assert_eq!(get(&server, "/all").await, "REGION=eu\n");
        let said = notices(&server, "shop").await;
        let told: Vec<_> = said.iter().filter(|text| text.contains("HIDDEN")).collect();
        assert_eq!(told.len(), 1, "{said:?}");
        assert!(told[0].contains("add \"HIDDEN\" to `secrets` in [function.grants]"));
    }
}

#[tokio::test]
async fn value_is_in_no_file_no_log_and_no_answer() {
    let data = DataFolder::new();
    let mut command = everwarm_command();
    command
        .args(["serve", "--json", "--listen", "127.0.0.1:0"])
        .args(["--admin", "127.0.0.1:0", "--base-domain", "example.com"])
        .args(["--log", "trace", "--data-dir"])
        .arg(data.path());
    let server = data.start_with(command).await;
    shop(World::Wasi02).deploy(&server.client()).await.unwrap();
    let output = set(&server, "shop", "KEY", format!("{VALUE}\n").as_bytes()).await;
    assert_eq!(get(&server, "/get/KEY").await, format!("value {VALUE}\n"));
    set(&server, "shop", "KEY", b"another").await;
    let bad = server
        .client()
        .put_secret_bytes("shop", "no-name", VALUE.into())
        .await;
    let told = format!("{output:?} {bad:?} {:?}", list(&server, "shop").await);
    let audit = server.client().audit(false, None).await.unwrap();
    assert!(
        audit.items.iter().any(|entry| entry.action == "set-secret"),
        "{audit:?}"
    );
    for text in [
        told,
        format!("{audit:?}"),
        format!("{:?}", notices(&server, "shop").await),
    ] {
        assert!(!text.contains(VALUE), "{text}");
    }
    let folder = data.path();
    let mut looked_at = 0;
    for file in files(&folder) {
        // The write-ahead log has what the node's last words didn't change.
        let bytes = std::fs::read(&file).unwrap();
        looked_at += 1;
        assert!(!contains(&bytes, VALUE.as_bytes()), "{}", file.display());
    }
    assert!(looked_at > 5, "{looked_at} files");
    assert!(contains(
        &std::fs::read(folder.join("secrets.key")).unwrap(),
        b"ewk_"
    ));

    let stopped = server.node.stop(Signal::TERM).await;
    let (log, out) = (stopped.log().to_string(), stopped.out().to_string());
    assert!(log.contains("admin request"), "{log}");
    for text in [log, out] {
        assert!(!text.contains(VALUE) && !text.contains("ewk_"), "{text}");
    }
    for file in files(&folder) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!contains(&bytes, VALUE.as_bytes()), "{}", file.display());
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn what_is_no_value_or_no_name_is_refused_with_what_is_wrong() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let put = async |name: &str, value: Vec<u8>| {
        let refused = client.put_secret_bytes("shop", name, value.into()).await;
        let problem = problem(refused);
        (problem.status, problem.code, problem.detail)
    };
    let (status, code, detail) = put("KEY", vec![b'x'; (64 << 10) + 1]).await;
    assert_eq!((status, &*code), (413, "EW5021"), "{detail}");
    let (status, code, detail) = put("KEY", vec![0xff, 0xfe]).await;
    assert_eq!((status, &*code), (400, "EW5009"), "{detail}");
    assert!(detail.contains("isn't UTF-8"), "{detail}");
    let (status, _, detail) = put("KEY", Vec::new()).await;
    assert_eq!(status, 400, "{detail}");
    let (status, _, detail) = put("no-name", b"x".to_vec()).await;
    assert_eq!(status, 400, "{detail}");
    assert!(detail.contains("can't name a secret"), "{detail}");
    assert!(list(&server, "shop").await.is_empty());
    // The most that there may be is kept and read as it is.
    let value = "x".repeat(64 << 10);
    client
        .put_secret("shop", "KEY", &value.as_str().into())
        .await
        .unwrap();

    for number in 1..100 {
        let name = format!("N{number}");
        client.put_secret("shop", &name, &"x".into()).await.unwrap();
    }
    let refused = problem(client.put_secret("shop", "N100", &"x".into()).await);
    assert_eq!(
        (refused.status, &*refused.code),
        (409, "EW5018"),
        "{refused:?}"
    );
    let unknown = SecretRollback { version: Some(9) };
    let refused = problem(client.roll_back_secret("shop", "KEY", &unknown).await);
    assert_eq!(
        (refused.status, &*refused.code),
        (404, "EW5005"),
        "{refused:?}"
    );
    let refused = problem(client.remove_secret("shop", "NOTHING").await);
    assert_eq!(
        (refused.status, &*refused.code),
        (404, "EW5005"),
        "{refused:?}"
    );

    // By the command line: what isn't text, and nothing at all.
    for (stdin, expected) in [(&b"\xff"[..], "isn't UTF-8"), (b"\n", "is empty")] {
        let args = ["secret", "set", "shop", "KEY"];
        let output = everwarm(&server, server.first_token(), &args, stdin).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
    }
}

#[tokio::test]
async fn secrets_are_a_tenants_own_and_need_the_scope_deploy() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    let reader = server.client_of("ann", Scope::Read).await;
    ann.put_secret("shop", "KEY", &VALUE.into()).await.unwrap();
    assert!(bob.secrets("shop").await.unwrap().items.is_empty());
    assert_eq!(problem(bob.remove_secret("shop", "KEY").await).status, 404);
    let back = SecretRollback::default();
    assert_eq!(
        problem(bob.roll_back_secret("shop", "KEY", &back).await).status,
        404
    );
    assert_eq!(
        problem(reader.put_secret("shop", "KEY", &"x".into()).await).status,
        403
    );
    assert_eq!(problem(ann.rotate_secrets_key().await).status, 403);
    assert_eq!(reader.secrets("shop").await.unwrap().items[0].name, "KEY");
    // An app that is removed takes its secrets along, one that was never deployed too.
    ann.remove_app("shop").await.unwrap();
    assert!(ann.secrets("shop").await.unwrap().items.is_empty());
    // A quota on apps counts those that have secrets alone.
    let one = Quotas {
        apps: Some(1),
        ..Quotas::default()
    };
    server.client().put_tenant("ann", &one).await.unwrap();
    ann.put_secret("first", "KEY", &"x".into()).await.unwrap();
    let refused = problem(ann.put_secret("second", "KEY", &"x".into()).await);
    assert_eq!(refused.code, "EW5008", "{refused:?}");
}

#[tokio::test]
async fn list_tells_versions_and_who_is_granted_and_what_is_not_set() {
    let data = DataFolder::new();
    let server = data.start().await;
    set(&server, "shop", "KEY", b"one").await;
    set(&server, "shop", "KEY", b"two").await;
    set(&server, "shop", "FREE", b"x").await;
    shop(World::Wasi02).deploy(&server.client()).await.unwrap();
    let listed = list(&server, "shop").await;
    let told: Vec<_> = listed
        .iter()
        .map(|secret| {
            (
                &*secret.name,
                secret.version,
                secret.versions.len(),
                secret.functions.len(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("FREE", Some(1), 1, 0),
            ("KEY", Some(2), 2, 1),
            ("OTHER", None, 0, 1)
        ]
    );
    let ls = everwarm(
        &server,
        server.first_token(),
        &["secret", "ls", "shop"],
        b"",
    )
    .await;
    let shown = String::from_utf8(ls.stdout).unwrap();
    assert!(
        shown.contains("not set") && shown.contains("KEY"),
        "{shown}"
    );
}

#[tokio::test]
async fn up_reads_secrets_from_a_file_that_is_its_users_own() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env.secrets");
    std::fs::write(&file, format!("# of the test account\nKEY={VALUE}\n")).unwrap();
    let app = App::new("config", World::Wasi02)
        .grant("secrets = [\"KEY\", \"OTHER\"]")
        .flag("--secrets-file", file.to_str().unwrap());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refusal = app.clone().refused().await;
    assert!(refusal.message.contains("mode 644"), "{refusal:?}");
    assert!(!refusal.message.contains(VALUE), "{refusal:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let node = app.start().await;
    assert_eq!(node.get("/get/KEY").await.ok(), format!("value {VALUE}\n"));
    assert!(node.get("/get/OTHER").await.ok().contains("--secrets-file"));
    eventually("the log says what isn't set", async || {
        let log = node.log().to_string();
        assert!(!log.contains(VALUE), "{log}");
        log.contains("the secret `OTHER` isn't set").then_some(())
    })
    .await;
}
