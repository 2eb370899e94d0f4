//! Who may ask the admin API for what: every operation of the one list, asked by everybody who may not. And what a tenant
//! learns of another's things by asking for them: nothing.
//!
//! That a secret is compared in constant time isn't measured here: `Token::matches` compares hashes with `subtle`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use everwarm_api::messages::{NewToken, Quotas, Scope};
use everwarm_api::operations::{self, ALL, Body, Operation};
use everwarm_api::token::Token;
use everwarm_e2e::raw::Raw;
use everwarm_e2e::server::digest;
use everwarm_e2e::{DataFolder, NewApp, Reply, Request, Server, eventually};
use http::Method;

/// The names that stand in an operation's path and body.
#[derive(Clone, Copy)]
struct Names<'a> {
    app: &'a str,
    version: &'a str,
    component: &'a str,
    token: &'a str,
}

/// Names of nothing that there is.
const NOTHING: Names<'static> = Names {
    app: "shoq",
    version: "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    component: "sha256:1111111111111111111111111111111111111111111111111111111111111111",
    token: "0123456789abcdef",
};

impl Names<'_> {
    fn path(&self, operation: &Operation) -> String {
        operation
            .path
            .replace("{app}", self.app)
            .replace("{digest}", self.component)
            .replace("{token}", self.token)
            .replace("{secret}", "KEY")
            .replace("{tenant}", "nobody")
            .replace("{store}", "default")
            .replace("{container}", "photos")
            .replace("{kind}", "queue")
            .replace("{name}", "jobs")
    }

    /// A body that the operation takes. A new operation says its own here.
    fn body(&self, operation: &Operation) -> Option<String> {
        let Names {
            app,
            version,
            component,
            ..
        } = self;
        if !matches!(operation.request, Body::Json(_)) {
            return matches!(operation.request, Body::Bytes).then(|| "other bytes".to_owned());
        }
        Some(match operation.id {
            "deploy" => {
                // A host of his own: that of another would be taken, which is told.
                let manifest = format!(
                    "name = \"{app}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroutes = [\"bobs.org/*\"]\n"
                );
                serde_json::json!({"manifest": manifest, "components": {"f": component}})
                    .to_string()
            }
            "setTraffic" => serde_json::json!({ "version": version }).to_string(),
            "rollBack" | "rollBackSecret" | "putTenant" | "retryMessages" => "{}".to_owned(),
            "makeToken" => r#"{"name": "x", "scope": "read"}"#.to_owned(),
            "purgeCache" => r#"{"all": true}"#.to_owned(),
            "readValues" | "removeValues" => r#"{"keys": ["k"]}"#.to_owned(),
            "writeValues" => r#"{"items": [{"key": "k", "value": ""}]}"#.to_owned(),
            other => panic!("what does `{other}` take?"),
        })
    }

    fn request(&self, operation: &Operation) -> Request {
        let path = self.path(operation);
        let request = match self.body(operation) {
            Some(body) => Request::with_body(operation.method.clone(), &path, body),
            None => Request::new(operation.method.clone(), &path),
        };
        request.header("content-type", "application/json")
    }

    /// A reply as its client sees it, with these names taken out, and that of the request.
    fn seen(&self, reply: &Reply) -> String {
        let mut body = String::from_utf8_lossy(reply.bytes()).into_owned();
        if let Some(id) = reply.header("everwarm-request-id") {
            body = body.replace(id, "<request>");
        }
        for (name, place) in [
            (self.version, "<version>"),
            (self.component, "<component>"),
            (self.token, "<token>"),
            (&format!("`{}`", self.app), "<app>"),
        ] {
            body = body.replace(name, place);
        }
        format!(
            "{} {:?} {body}",
            reply.status(),
            reply.header("everwarm-error")
        )
    }
}

fn refused(operation: &Operation, reply: &Reply, status: u16, code: &str) {
    if *operation.method == Method::HEAD {
        let told = (reply.status().as_u16(), reply.header("everwarm-error"));
        assert_eq!(told, (status, Some(code)), "{}", operation.id);
        return;
    }
    let problem = reply.failed(status, code);
    let text = problem.to_string();
    assert!(!text.contains("ewt_"), "{}: {text}", operation.id);
}

async fn token(
    server: &Server,
    scope: Scope,
    lifetime_s: Option<u64>,
    tenant: Option<&str>,
) -> (String, Token) {
    let new = NewToken {
        name: "x".to_owned(),
        scope,
        lifetime_s,
        of_node: tenant.is_none(),
    };
    let client = tenant.map_or_else(|| server.client(), |tenant| server.client_for(tenant));
    let made = client.make_token(&new).await.unwrap();
    (made.info.id, Token::parse(&made.token).unwrap())
}

fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

/// What strangers send, each a list of values of `authorization`.
async fn strangers(server: &Server) -> Vec<Vec<String>> {
    let admin = server.client();
    let (id, revoked) = token(server, Scope::Admin, None, None).await;
    admin.remove_token(&id, true).await.unwrap();
    let (_, expired) = token(server, Scope::Admin, Some(1), None).await;
    let client = server.client_with(expired.clone(), None);
    eventually("the token expires", async || client.who_am_i().await.err()).await;
    let good = bearer(server.first_token());
    let last = if good.ends_with('0') { '1' } else { '0' };
    let one = |value: &str| vec![value.to_owned()];
    vec![
        vec![],
        one("Bearer"),
        one("Bearer "),
        one("Bearer null"),
        one(&good.replace("Bearer", "Basic")),
        one(&good.replace("Bearer ", "")),
        one(&good.replace("ewt_", "ghp_")),
        one(&good[..good.len() - 1]),
        one(&format!("{good}0")),
        one(&format!("{}{last}", &good[..good.len() - 1])),
        one(&bearer(&Token::random().unwrap())),
        one(&bearer(&revoked)),
        one(&bearer(&expired)),
        // Which of the two is meant?
        vec![good.clone(), good.clone()],
        vec![good, "Bearer x".to_owned()],
    ]
}

#[tokio::test]
async fn every_operation_refuses_all_strangers_alike() {
    let data = DataFolder::new();
    let server = data.start().await;
    let mut seen = BTreeSet::new();
    for values in strangers(&server).await {
        for operation in ALL {
            let request = values
                .iter()
                .fold(NOTHING.request(operation), |request, value| {
                    request.header("authorization", value)
                });
            let reply = server.ask_admin(request).await;
            refused(operation, &reply, 401, "EW5003");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            if *operation.method != Method::HEAD {
                seen.insert(NOTHING.seen(&reply));
            }
        }
    }
    // A token belongs into the header: addresses are in logs.
    for operation in ALL {
        let token = server.first_token().expose();
        let path = format!(
            "{}?token={token}&access_token={token}",
            NOTHING.path(operation)
        );
        let reply = server
            .ask_admin(Request::new(operation.method.clone(), &path))
            .await;
        refused(operation, &reply, 401, "EW5003");
        if *operation.method != Method::HEAD {
            seen.insert(NOTHING.seen(&reply));
        }
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
}

#[tokio::test]
async fn token_that_no_header_can_hold_is_refused_before_anybody_looks_at_it() {
    let data = DataFolder::new();
    let server = data.start().await;
    for operation in ALL {
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ",
            operation.method,
            NOTHING.path(operation)
        );
        let mut raw = Raw::connect(server.admin_address()).await;
        let long = "x".repeat(100_000);
        let answer = raw.last_words(&format!("{head}{long}\r\n\r\n")).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{}: {answer}",
            operation.id
        );
        let mut raw = Raw::connect(server.admin_address()).await;
        raw.write(
            [
                head.as_bytes(),
                b"ewt_\xff\xfe_\x80\r\nconnection: close\r\n\r\n",
            ]
            .concat(),
        )
        .await;
        let answer = raw.read_until("\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 401 "),
            "{}: {answer}",
            operation.id
        );
    }
    server.client().who_am_i().await.unwrap();
}

#[tokio::test]
async fn every_operation_needs_its_scope_and_those_of_the_node_a_token_of_the_node() {
    let data = DataFolder::new();
    let server = data.start().await;
    server.tenant("ann", Quotas::default(), Scope::Admin).await;
    let mut tokens = Vec::new();
    for scope in [Scope::Read, Scope::Deploy, Scope::Admin] {
        for tenant in [None, Some("ann")] {
            tokens.push((scope, tenant, token(&server, scope, None, tenant).await.1));
        }
    }
    let mut refusals = 0;
    for operation in ALL {
        for (scope, tenant, token) in &tokens {
            let ask = async |request: Request| {
                server
                    .ask_admin(request.header("authorization", &bearer(token)))
                    .await
            };
            let may = *scope >= operation.scope && !(operation.node_only && tenant.is_some());
            if !may {
                refused(
                    operation,
                    &ask(NOTHING.request(operation)).await,
                    403,
                    "EW5004",
                );
                refusals += 1;
            } else if operation.id != operations::BACK_UP.id {
                let reply = ask(NOTHING.request(operation)).await;
                assert!(
                    ![401, 403].contains(&reply.status().as_u16()),
                    "{}: {reply:?}",
                    operation.id
                );
            }
            // What is the node's is asked for by a parameter too.
            if operation
                .parameters
                .iter()
                .any(|parameter| parameter.name == "of_node")
                && tenant.is_some()
            {
                let path = format!("{}?of_node=true", NOTHING.path(operation));
                let reply = ask(Request::new(operation.method.clone(), &path)).await;
                refused(operation, &reply, 403, "EW5004");
            }
        }
    }
    assert!(refusals > ALL.len(), "{refusals}");
}

#[tokio::test]
async fn names_of_another_tenant_look_as_if_there_were_nothing() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Admin).await;
    server.tenant("bob", Quotas::default(), Scope::Admin).await;
    let deployed = NewApp::new("shop", "hello", &["/*"])
        .deploy(&ann)
        .await
        .unwrap();
    let hers = Names {
        app: "shop",
        version: &deployed.version.id,
        component: &deployed.version.functions[0].component,
        token: &ann.who_am_i().await.unwrap().token,
    };
    let (_, bobs) = token(&server, Scope::Admin, None, Some("bob")).await;
    let ask =
        async |names: &Names<'_>, operation: &Operation, query: &str, tenant: Option<&str>| {
            let path = format!("{}{query}", names.path(operation));
            let mut request = match names.body(operation) {
                Some(body) => Request::with_body(operation.method.clone(), &path, body),
                None => Request::new(operation.method.clone(), &path),
            };
            request = request
                .header("content-type", "application/json")
                .header("authorization", &bearer(&bobs));
            if let Some(tenant) = tenant {
                request = request.header("everwarm-tenant", tenant);
            }
            names.seen(&server.ask_admin(request).await)
        };
    for operation in ALL {
        // Her tenant, and one that isn't there.
        let [real, none] = [Some("ann"), Some("nobody")];
        let told = ask(&hers, operation, "", real).await;
        assert!(told.starts_with("403 "), "{}: {told}", operation.id);
        assert_eq!(
            told,
            ask(&hers, operation, "", none).await,
            "{}",
            operation.id
        );
        if !operation.path.contains('{') {
            continue;
        }
        // An app's name is its host, and a host is taken whoever has it: that much is told. Her component is not.
        let hers = Names {
            app: if operation.id == "deploy" {
                NOTHING.app
            } else {
                hers.app
            },
            ..hers
        };
        for query in ["", "?before=", "?of_node=false", "?key=k", "?name=n"] {
            let query = |names: &Names<'_>| match query {
                "?before=" => format!("?before={}", names.version),
                other => other.to_owned(),
            };
            assert_eq!(
                ask(&hers, operation, &query(&hers), None).await,
                ask(&NOTHING, operation, &query(&NOTHING), None).await,
                "{}",
                operation.id
            );
        }
    }
    // All of it is where it was.
    server.get("shop.example.com", "/").await.ok();
    assert!(ann.has_component(hers.component).await.unwrap());
    assert_eq!(ann.tokens(false).await.unwrap().items.len(), 1);
    // And what he may not have he may not name either: her bytes are hers although he knows what they are called.
    assert_ne!(hers.component, digest(b"other bytes"));
}
