//! Tenants that can't touch each other, quotas, and who may ask for what.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use everwarm_api::client::{Client, ClientError};
use everwarm_api::messages::{NewToken, Quotas, Rollback, Scope, SetTraffic};
use everwarm_api::problem::Problem;
use everwarm_api::token::Token;
use everwarm_e2e::server::{digest, problem};
use everwarm_e2e::{DataFolder, NewApp, Request, World, component};

fn refused_as<T: std::fmt::Debug>(
    result: Result<T, ClientError>,
    status: u16,
    code: &str,
) -> Problem {
    let problem = problem(result);
    assert_eq!(
        (problem.status, &*problem.code),
        (status, code),
        "{problem:?}"
    );
    problem
}

async fn app_names(client: &Client) -> Vec<String> {
    let apps = client.apps(None).await.unwrap().items;
    apps.into_iter().map(|app| app.name).collect()
}

#[tokio::test]
async fn tenant_sees_and_changes_nothing_of_another() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Admin).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Admin).await;
    let deployed = NewApp::new("shop", "hello", &["/*"])
        .deploy(&ann)
        .await
        .unwrap();
    let component = &deployed.version.functions[0].component;

    assert!(app_names(&bob).await.is_empty());
    assert!(!bob.has_component(component).await.unwrap());
    let version = deployed.version.id.clone();
    let promote = SetTraffic {
        version,
        percent: None,
        sticky_header: None,
    };
    refused_as(bob.app("shop").await, 404, "EW5005");
    refused_as(bob.versions("shop", None).await, 404, "EW5005");
    refused_as(bob.set_traffic("shop", &promote).await, 404, "EW5005");
    refused_as(
        bob.roll_back("shop", &Rollback::default()).await,
        409,
        "EW5011",
    );
    refused_as(bob.remove_app("shop").await, 404, "EW5005");
    // Her component isn't his, although he knows its name.
    let mut stolen = NewApp::new("mine", "hello", &["/*"]);
    stolen.components.clear();
    stolen
        .deploy
        .components
        .insert("f".to_owned(), component.clone());
    problem(stolen.deploy(&bob).await);
    assert!(
        bob.audit(false, None)
            .await
            .unwrap()
            .items
            .iter()
            .all(|entry| entry.tenant.as_deref() == Some("bob"))
    );
    assert!(
        bob.tokens(false)
            .await
            .unwrap()
            .items
            .iter()
            .all(|token| token.name.starts_with("bob"))
    );

    // A tenant's token acts for nobody else, and isn't the node's.
    refused_as(bob.tenants(None).await, 403, "EW5004");
    refused_as(
        bob.put_tenant("bob", &Quotas::default()).await,
        403,
        "EW5004",
    );
    refused_as(bob.remove_tenant("ann").await, 403, "EW5004");
    refused_as(bob.tokens(true).await, 403, "EW5004");
    refused_as(bob.audit(true, None).await, 403, "EW5004");
    refused_as(bob.usage(true, None, None).await, 403, "EW5004");
    server.get("shop.example.com", "/").await.ok();
}

#[tokio::test]
async fn header_that_names_another_tenant_is_refused_with_a_tenants_token() {
    let data = DataFolder::new();
    let server = data.start().await;
    server.tenant("ann", Quotas::default(), Scope::Admin).await;
    server.tenant("bob", Quotas::default(), Scope::Admin).await;
    let new = NewToken {
        name: "x".to_owned(),
        scope: Scope::Admin,
        lifetime_s: None,
        of_node: false,
    };
    let made = server.client_for("bob").make_token(&new).await.unwrap();
    let token = Token::parse(&made.token).unwrap();
    refused_as(
        server
            .client_with(token.clone(), Some("ann"))
            .apps(None)
            .await,
        403,
        "EW5004",
    );
    assert!(
        app_names(&server.client_with(token, Some("bob")))
            .await
            .is_empty()
    );
    refused_as(server.client_for("nobody").apps(None).await, 404, "EW5005");
    refused_as(server.client_for("../ann").apps(None).await, 400, "EW5009");
}

#[tokio::test]
async fn host_that_another_tenant_has_is_taken_and_nobody_says_whose() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    NewApp::new("shop", "hello", &["/*", "shop.org/*", "*.wild.org/*"])
        .deploy(&ann)
        .await
        .unwrap();
    for app in [
        NewApp::new("shop", "hello", &["/*"]),
        NewApp::new("other", "hello", &["shop.org/deeper/*"]),
        NewApp::new("other", "hello", &["a.wild.org/*"]),
        NewApp::new("other", "hello", &["*.org/*"]),
    ] {
        let refused = refused_as(app.deploy(&bob).await, 409, "EW5007");
        assert!(!refused.detail.contains("ann"), "{refused:?}");
    }
    ann.remove_app("shop").await.unwrap();
    NewApp::new("shop", "hello", &["/*", "shop.org/*"])
        .deploy(&bob)
        .await
        .unwrap();
    server.get("shop.org", "/").await.ok();
}

#[tokio::test]
async fn scope_says_what_a_token_may_do() {
    let data = DataFolder::new();
    let server = data.start().await;
    let reader = server.tenant("ann", Quotas::default(), Scope::Read).await;
    let deployer = server.client_of("ann", Scope::Deploy).await;
    let new = NewToken {
        name: "x".to_owned(),
        scope: Scope::Read,
        lifetime_s: None,
        of_node: false,
    };

    let refused = refused_as(
        NewApp::new("shop", "hello", &["/*"]).deploy(&reader).await,
        403,
        "EW5004",
    );
    assert!(!refused.detail.contains("ewt_"), "{refused:?}");
    NewApp::new("shop", "hello", &["/*"])
        .deploy(&deployer)
        .await
        .unwrap();
    assert_eq!(app_names(&reader).await, ["shop"]);
    refused_as(reader.remove_app("shop").await, 403, "EW5004");
    refused_as(
        reader.roll_back("shop", &Rollback::default()).await,
        403,
        "EW5004",
    );
    for client in [&reader, &deployer] {
        refused_as(client.make_token(&new).await, 403, "EW5004");
        refused_as(client.tokens(false).await, 403, "EW5004");
        refused_as(client.audit(false, None).await, 403, "EW5004");
    }
    deployer.remove_app("shop").await.unwrap();
    assert_eq!(
        reader.who_am_i().await.unwrap().tenant.as_deref(),
        Some("ann")
    );
}

#[tokio::test]
async fn token_that_is_wrong_expired_or_revoked_is_refused_alike() {
    let data = DataFolder::new();
    let server = data.start().await;
    let admin = server.client();
    let token = async |lifetime_s| {
        let new = NewToken {
            name: "x".to_owned(),
            scope: Scope::Read,
            lifetime_s,
            of_node: true,
        };
        let made = admin.make_token(&new).await.unwrap();
        (made.info.id, Token::parse(&made.token).unwrap())
    };
    let (id, revoked) = token(None).await;
    server
        .client_with(revoked.clone(), None)
        .who_am_i()
        .await
        .unwrap();
    admin.remove_token(&id, true).await.unwrap();
    refused_as(admin.remove_token(&id, true).await, 404, "EW5005");

    let (_, short) = token(Some(1)).await;
    let client = server.client_with(short, None);
    let expired =
        everwarm_e2e::eventually("the token expires", async || client.who_am_i().await.err()).await;

    // The same public name with another secret.
    let own = server.first_token().expose();
    let last = if own.ends_with('0') { '1' } else { '0' };
    let wrong = Token::parse(&format!("{}{last}", &own[..own.len() - 1])).unwrap();
    let mut details = vec![refused_as::<()>(Err(expired), 401, "EW5003").detail];
    for token in [revoked, wrong, Token::random().unwrap()] {
        let refused = server.client_with(token, None).apps(None).await;
        details.push(refused_as(refused, 401, "EW5003").detail);
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
}

#[tokio::test]
async fn token_is_kept_nowhere_but_in_the_file_of_the_first() {
    let data = DataFolder::new();
    let server = data.start().await;
    let new = NewToken {
        name: "ci".to_owned(),
        scope: Scope::Read,
        lifetime_s: None,
        of_node: true,
    };
    let made = server.client().make_token(&new).await.unwrap();
    let secret = made.token.rsplit('_').next().unwrap().to_owned();
    let own = server.client().remove_token(&made.info.id, false).await;
    refused_as(own, 404, "EW5005");
    let stopped = server.node.stop(rustix::process::Signal::TERM).await;
    assert!(stopped.status.success());
    let bytes: [u8; 32] =
        std::array::from_fn(|at| u8::from_str_radix(&secret[2 * at..2 * at + 2], 16).unwrap());
    for entry in std::fs::read_dir(data.path()).unwrap().flatten() {
        let Ok(content) = std::fs::read(entry.path()) else {
            continue;
        };
        let holds = |part: &[u8]| content.windows(part.len()).any(|window| window == part);
        assert!(
            !holds(secret.as_bytes()) && !holds(&bytes),
            "{}",
            entry.path().display()
        );
    }
    assert!(!format!("{}{}", stopped.out(), stopped.log()).contains(&secret));
    let rights = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(data.path().join("admin.token"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(rights & 0o777, 0o600);
}

#[tokio::test]
async fn quotas_on_apps_and_bytes_refuse_what_is_too_much() {
    let data = DataFolder::new();
    let server = data.start().await;
    let hello = std::fs::read(component("hello", World::Wasi02)).unwrap();
    let quotas = Quotas {
        apps: Some(1),
        artifact_bytes: Some(hello.len() as u64 + 10),
        ..Quotas::default()
    };
    let ann = server.tenant("ann", quotas, Scope::Deploy).await;
    NewApp::new("one", "hello", &["/*"])
        .deploy(&ann)
        .await
        .unwrap();
    let refused = refused_as(
        NewApp::new("two", "hello", &["/*"]).deploy(&ann).await,
        403,
        "EW5008",
    );
    assert_eq!(refused.stage.as_deref(), Some("store"));
    NewApp::new("one", "hello", &["/again"])
        .deploy(&ann)
        .await
        .unwrap();
    let more = Bytes::from_static(b"eleven byte");
    refused_as(ann.put_component(&digest(&more), more).await, 403, "EW5008");
    // Larger quotas hold at once.
    server
        .client()
        .put_tenant("ann", &Quotas::default())
        .await
        .unwrap();
    NewApp::new("two", "hello", &["/*"])
        .deploy(&ann)
        .await
        .unwrap();
}

#[tokio::test]
async fn rate_of_one_tenant_holds_for_it_alone() {
    let data = DataFolder::new();
    let server = data.start().await;
    let quotas = Quotas {
        requests_per_second: Some(5),
        ..Quotas::default()
    };
    let ann = server.tenant("ann", quotas, Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    NewApp::new("anns", "hello", &["/*"])
        .deploy(&ann)
        .await
        .unwrap();
    NewApp::new("bobs", "hello", &["/*"])
        .deploy(&bob)
        .await
        .unwrap();
    let mut connection = server.node.connect().await;
    let mut refused = 0;
    for _ in 0..100 {
        let reply = connection
            .send(Request::get("/").header("host", "anns.example.com"))
            .await;
        if reply.status() == 429 {
            assert_eq!(reply.header("retry-after"), Some("1"));
            reply.failed(429, "EW3021");
            refused += 1;
        } else {
            reply.ok();
        }
        connection
            .send(Request::get("/").header("host", "bobs.example.com"))
            .await
            .ok();
    }
    assert!(refused > 0, "100 requests passed at 5 a second");
    server
        .client()
        .put_tenant("ann", &Quotas::default())
        .await
        .unwrap();
    server.get("anns.example.com", "/").await.ok();
}

#[tokio::test]
async fn concurrency_and_memory_of_a_tenant_hold_for_all_its_functions_together() {
    let data = DataFolder::new();
    let server = data.start().await;
    for (name, quotas) in [
        (
            "ann",
            Quotas {
                concurrency: Some(1),
                ..Quotas::default()
            },
        ),
        // An instance may have 128 MiB.
        (
            "bob",
            Quotas {
                memory_bytes: Some(200 << 20),
                ..Quotas::default()
            },
        ),
    ] {
        let client = server.tenant(name, quotas, Scope::Deploy).await;
        let (first, second) = (format!("{name}s-first"), format!("{name}s-second"));
        for app in [&first, &second] {
            NewApp::new(app, "misbehave", &["/*"])
                .deploy(&client)
                .await
                .unwrap();
        }
        let host = |app: &str| format!("{app}.example.com");
        let mut busy = server.node.connect().await;
        let request = Request::get("/slow-body?chunks=1000&ms=20").header("host", &host(&first));
        let streaming = busy.open(request).await;
        server
            .get(&host(&second), "/counter")
            .await
            .failed(503, "EW3020");
        drop(streaming);
        drop(busy);
        everwarm_e2e::eventually("the place is free again", async || {
            let reply = server.get(&host(&second), "/counter").await;
            (reply.status() == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn tenant_is_removed_when_it_has_no_apps_and_its_tokens_go_with_it() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    NewApp::new("shop", "hello", &["/*"])
        .deploy(&ann)
        .await
        .unwrap();
    let admin = server.client();
    refused_as(admin.remove_tenant("ann").await, 409, "EW5013");
    ann.remove_app("shop").await.unwrap();
    admin.remove_tenant("ann").await.unwrap();
    refused_as(ann.apps(None).await, 401, "EW5003");
    refused_as(admin.remove_tenant("ann").await, 404, "EW5005");
    refused_as(admin.remove_tenant("default").await, 400, "EW5009");
}

#[tokio::test]
async fn changes_are_in_the_audit_log_with_who_made_them_after_a_kill_too() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Admin).await;
    NewApp::new("shop", "hello", &["/*"])
        .deploy(&ann)
        .await
        .unwrap();
    ann.remove_app("shop").await.unwrap();
    let server = server.kill_and_restart(&data).await;
    let all = server.client().audit(true, None).await.unwrap().items;
    let seen: Vec<(&str, &str)> = all
        .iter()
        .map(|entry| (&*entry.action, &*entry.subject))
        .collect();
    assert_eq!(seen[..2], [("remove-app", "shop"), ("deploy", "shop")]);
    assert!(all[0].actor.starts_with("ann admin ("), "{:?}", all[0]);
    assert_eq!(all.last().map(|entry| &*entry.actor), Some("the node"));
    let hers = server
        .client_for("ann")
        .audit(false, None)
        .await
        .unwrap()
        .items;
    assert!(
        hers.iter()
            .all(|entry| entry.tenant.as_deref() == Some("ann"))
    );
}

#[tokio::test]
async fn usage_is_counted_once_and_survives_a_restart() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    NewApp::new("shop", "echo", &["/*"])
        .deploy(&client)
        .await
        .unwrap();
    let mut connection = server.node.connect().await;
    for _ in 0..7 {
        let request = Request::post("/count", "x".repeat(1_000)).header("host", "shop.example.com");
        connection.send(request).await.ok();
    }
    let requests = async |client: &Client| {
        let rows = client.usage(false, None, None).await.unwrap().items;
        let sum =
            |read: fn(&everwarm_api::messages::UsageRow) -> u64| rows.iter().map(read).sum::<u64>();
        (
            sum(|row| row.requests),
            sum(|row| row.bytes_in),
            sum(|row| u64::from(row.cpu_us > 0)),
        )
    };
    // The books of the last request close after its response has left.
    everwarm_e2e::eventually("all books are closed", async || {
        (requests(&client).await.0 >= 7).then_some(())
    })
    .await;
    let (count, bytes_in, with_cpu) = requests(&client).await;
    assert_eq!((count, bytes_in), (7, 7_000));
    assert!(with_cpu > 0);
    let stopped = server.node.stop(rustix::process::Signal::TERM).await;
    assert!(stopped.status.success());
    let server = data.start().await;
    assert_eq!(requests(&server.client()).await.0, 7);
}
