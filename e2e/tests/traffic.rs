//! Who gets which requests: promotions, canaries and rollbacks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_api::client::Client;
use everwarm_api::messages::{Rollback, SetTraffic};
use everwarm_e2e::server::problem;
use everwarm_e2e::{DataFolder, NewApp, Request, Server};

const HOST: &str = "shop.example.com";

/// Deploys two versions, which differ in the path that they answer: `/one` and `/two`. Returns their names.
async fn two_versions(client: &Client) -> (String, String) {
    let one = NewApp::new("shop", "hello", &["/one"])
        .deploy(client)
        .await
        .unwrap();
    let two = NewApp::new("shop", "hello", &["/two"])
        .percent(0)
        .deploy(client)
        .await
        .unwrap();
    assert_eq!((two.version.percent, one.version.percent), (0, 100));
    (one.version.id, two.version.id)
}

fn all_to(version: &str) -> SetTraffic {
    SetTraffic {
        version: version.to_owned(),
        percent: None,
        sticky_header: None,
    }
}

async fn answers(server: &Server, path: &str) -> bool {
    match server.get(HOST, path).await {
        reply if reply.status() == 200 => true,
        reply => {
            reply.failed(404, "EW3001");
            false
        }
    }
}

#[tokio::test]
async fn version_that_was_deployed_for_nobody_gets_requests_when_it_is_promoted() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let (one, two) = two_versions(&client).await;
    assert!(answers(&server, "/one").await && !answers(&server, "/two").await);
    // The first digits are enough.
    let traffic = client
        .set_traffic("shop", &all_to(&two["sha256:".len()..][..8]))
        .await
        .unwrap();
    assert_eq!((&traffic.main, traffic.past), (&two, vec![one]));
    assert!(!answers(&server, "/one").await && answers(&server, "/two").await);
}

#[tokio::test]
async fn canary_gets_its_part_and_a_user_stays_where_it_is() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let (one, two) = two_versions(&client).await;
    let split = SetTraffic {
        percent: Some(30),
        sticky_header: Some("X-User".to_owned()),
        ..all_to(&two)
    };
    let traffic = client.set_traffic("shop", &split).await.unwrap();
    assert_eq!(traffic.main, one);
    let mut connection = server.node.connect().await;
    let mut in_canary = 0;
    for user in 0..300 {
        let mut seen = Vec::new();
        for path in ["/one", "/two", "/one", "/two"] {
            let request = Request::get(path)
                .header("host", HOST)
                .header("x-user", &format!("u{user}"));
            seen.push(connection.send(request).await.status() == 200);
        }
        // One of the two versions answers it, and always the same.
        assert!(seen[0] != seen[1] && seen[..2] == seen[2..], "{seen:?}");
        in_canary += u32::from(seen[1]);
    }
    assert!((45..=135).contains(&in_canary), "{in_canary} of 300");
    // Without the field each request is drawn for itself.
    let mut drawn = 0;
    for _ in 0..300 {
        let request = Request::get("/two").header("host", HOST);
        drawn += u32::from(connection.send(request).await.status() == 200);
    }
    assert!((45..=135).contains(&drawn), "{drawn} of 300");
    let versions = client.versions("shop", None).await.unwrap().items;
    let parts: Vec<u8> = versions.iter().map(|version| version.percent).collect();
    assert_eq!(parts, [30, 70]);
}

#[tokio::test]
async fn rollback_ends_the_canary_and_then_goes_back_version_by_version() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let (one, two) = two_versions(&client).await;
    client.set_traffic("shop", &all_to(&two)).await.unwrap();
    let split = SetTraffic {
        percent: Some(99),
        ..all_to(&one)
    };
    client.set_traffic("shop", &split).await.unwrap();
    let back = client
        .roll_back("shop", &Rollback::default())
        .await
        .unwrap();
    assert_eq!((&back.main, &back.canary), (&two, &None));
    let back = client
        .roll_back("shop", &Rollback::default())
        .await
        .unwrap();
    assert_eq!((&back.main, back.past.len()), (&one, 0));
    assert!(answers(&server, "/one").await);
    let end = problem(client.roll_back("shop", &Rollback::default()).await);
    assert_eq!((end.status, &*end.code), (409, "EW5011"));
    // To one by name, also forward.
    let named = Rollback {
        version: Some(two.clone()),
    };
    assert_eq!(client.roll_back("shop", &named).await.unwrap().main, two);
}

#[tokio::test]
async fn traffic_is_as_it_was_after_a_kill() {
    let data = DataFolder::new();
    let server = data.start().await;
    let (one, two) = two_versions(&server.client()).await;
    let split = SetTraffic {
        percent: Some(50),
        sticky_header: Some("x-user".to_owned()),
        ..all_to(&two)
    };
    let before = server.client().set_traffic("shop", &split).await.unwrap();
    let of_user = |user: u32| {
        Request::get("/two")
            .header("host", HOST)
            .header("x-user", &user.to_string())
    };
    let mut where_they_were = Vec::new();
    for user in 0..20 {
        where_they_were.push(server.node.send(of_user(user)).await.status());
    }
    let server = server.kill_and_restart(&data).await;
    let app = server.client().app("shop").await.unwrap();
    assert_eq!(app.traffic, Some(before));
    for (user, status) in (0..).zip(where_they_were) {
        assert_eq!(server.node.send(of_user(user)).await.status(), status);
    }
    let back = server
        .client()
        .roll_back("shop", &Rollback::default())
        .await
        .unwrap();
    assert_eq!(back.main, one);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let (one, two) = two_versions(&client).await;
    let part = |version: &str, percent| SetTraffic {
        percent: Some(percent),
        ..all_to(version)
    };
    for (wanted, status, code) in [
        (part(&one, 10), 409, "EW5011"),
        (part(&two, 0), 400, "EW5009"),
        (part(&two, 100), 400, "EW5009"),
        (all_to("ffffffffffff"), 404, "EW5005"),
        (all_to(""), 400, "EW5009"),
        (
            SetTraffic {
                sticky_header: Some("no name".to_owned()),
                ..part(&two, 10)
            },
            400,
            "EW5009",
        ),
    ] {
        let refused = problem(client.set_traffic("shop", &wanted).await);
        assert_eq!(
            (refused.status, &*refused.code),
            (status, code),
            "{wanted:?}"
        );
    }
    let first = NewApp::new("blog", "hello", &["/*"])
        .percent(10)
        .deploy(&client)
        .await;
    assert_eq!(problem(first).code, "EW5011");
    let app = client.app("shop").await.unwrap();
    assert_eq!(app.traffic.unwrap().main, one);
    assert!(answers(&server, "/one").await);
}

#[tokio::test]
async fn switches_under_load_refuse_nobody() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let one = NewApp::new("shop", "hello", &["/*"])
        .deploy(&client)
        .await
        .unwrap();
    let two = NewApp::new("shop", "hello", &["/*", "/two"])
        .percent(0)
        .deploy(&client)
        .await
        .unwrap();
    let switching = async {
        for turn in 0..20 {
            let version = if turn % 2 == 0 { &two } else { &one };
            client
                .set_traffic("shop", &all_to(&version.version.id))
                .await
                .unwrap();
        }
    };
    let mut connection = server.node.connect().await;
    let asking = async {
        let mut asked = 0;
        loop {
            let request = Request::get("/").header("host", HOST);
            connection.send(request).await.ok();
            asked += 1;
            if asked >= 200 {
                return;
            }
        }
    };
    tokio::join!(switching, asking);
}
