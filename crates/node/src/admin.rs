//! The admin API: operations of `everwarm-api` on a running node.
//!
//! Owns the way of an admin request (who is it, may they, what came of it) and the bounds on it. What an
//! operation does to apps is `operate`'s. It runs beside the data plane, on the node's ordinary threads.

mod accounts;
mod apps;
mod auth;
mod backups;
mod blobs;
mod cache;
mod components;
mod connections;
mod deploys;
mod failure;
mod first_token;
mod held;
mod history;
mod kv;
mod logs;
mod pace;
mod pages;
mod request_id;
mod secrets;
mod sent;
mod tls;
mod triggers;
mod understand;

use std::sync::Arc;

use axum::extract::State;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use axum::{Json, Router};
use everwarm_api::openapi::OpenApi;
use everwarm_api::operations::{self, Operation};
use everwarm_edge::ingress::Listener;
use tokio::sync::watch;

pub use first_token::{FirstTokenError, make_first_token, token_at_hand};
pub use tls::{AdminTls, AdminTlsError};
pub use understand::understand;

use crate::node::Node;
use crate::turns::Turns;
use failure::Failed;

/// Components that are taken in at once: each is held in memory until it is stored.
const UPLOADS_MAX: usize = 8;
/// Those of one tenant, so that one that sends slowly leaves places.
const UPLOADS_OF_TENANT_MAX: usize = 4;
/// Bundles of assets that are taken in at once, which may be larger.
const BUNDLES_MAX: usize = 2;
/// Those of one tenant.
const BUNDLES_OF_TENANT_MAX: usize = 1;
/// Long answers that are made or sent at once.
const REPORTS_MAX: usize = 4;
/// Those of one tenant.
const REPORTS_OF_TENANT_MAX: usize = 2;
/// Requests at once, of all tenants.
const REQUESTS_MAX: usize = 1_024;
/// Those of one tenant.
const REQUESTS_OF_TENANT_MAX: usize = 256;

/// Requests that wait for lines of a log at once.
const FOLLOWERS_MAX: usize = 256;
/// Those of one tenant.
const FOLLOWERS_OF_TENANT_MAX: usize = 64;

/// What the operations share.
#[derive(Clone)]
struct Admin {
    node: Arc<Node>,
    uploads: Arc<Turns>,
    bundles: Arc<Turns>,
    reports: Arc<Turns>,
    requests: Arc<Turns>,
    followers: Arc<Turns>,
    values: Arc<Turns>,
    batches: Arc<Turns>,
    blob_uploads: Arc<Turns>,
    blob_downloads: Arc<Turns>,
}

/// Serves the admin API on a socket, over TLS or not, until `stop` is true; requests that are in finish first.
pub async fn serve(
    listener: Listener,
    tls: Option<AdminTls>,
    node: Arc<Node>,
    mut stop: watch::Receiver<bool>,
) {
    let router = router(Admin {
        node,
        uploads: Arc::new(Turns::new(UPLOADS_MAX, UPLOADS_OF_TENANT_MAX)),
        bundles: Arc::new(Turns::new(BUNDLES_MAX, BUNDLES_OF_TENANT_MAX)),
        reports: Arc::new(Turns::new(REPORTS_MAX, REPORTS_OF_TENANT_MAX)),
        requests: Arc::new(Turns::new(REQUESTS_MAX, REQUESTS_OF_TENANT_MAX)),
        followers: Arc::new(Turns::new(FOLLOWERS_MAX, FOLLOWERS_OF_TENANT_MAX)),
        values: Arc::new(Turns::new(kv::VALUES_MAX, kv::VALUES_OF_TENANT_MAX)),
        batches: Arc::new(Turns::new(kv::BATCHES_MAX, kv::BATCHES_OF_TENANT_MAX)),
        blob_uploads: Arc::new(Turns::new(blobs::UPLOADS_MAX, blobs::UPLOADS_OF_TENANT_MAX)),
        blob_downloads: Arc::new(Turns::new(
            blobs::DOWNLOADS_MAX,
            blobs::DOWNLOADS_OF_TENANT_MAX,
        )),
    });
    let stopped = async move {
        // A sender that is gone means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Some(tls) = tls {
        let listener = tls::TlsListener::new(listener, tls);
        connections::serve(listener, router, stopped).await;
    } else {
        connections::serve(listener.into_socket(), router, stopped).await;
    }
}

/// What is uploaded before a deploy.
fn uploads(router: Router<Admin>, admin: &Admin) -> Router<Admin> {
    use operations::{HAS_ASSETS, HAS_COMPONENT, PUT_ASSETS, PUT_COMPONENT};

    let router = add(router, admin, &HAS_COMPONENT, components::has);
    let router = add(router, admin, &PUT_COMPONENT, components::put);
    let router = add(router, admin, &HAS_ASSETS, components::has);
    add(router, admin, &PUT_ASSETS, components::put_assets)
}

fn router(admin: Admin) -> Router {
    let operations = Router::new();
    let operations = add(
        operations,
        &admin,
        &operations::WHO_AM_I,
        accounts::who_am_i,
    );
    let operations = uploads(operations, &admin);
    let operations = add(operations, &admin, &operations::LIST_APPS, apps::list);
    let operations = add(operations, &admin, &operations::GET_APP, apps::get);
    let operations = add(operations, &admin, &operations::REMOVE_APP, apps::remove);
    let operations = add(
        operations,
        &admin,
        &operations::LIST_VERSIONS,
        apps::versions,
    );
    let operations = add(operations, &admin, &operations::GET_LOGS, logs::logs);
    let operations = add(operations, &admin, &operations::DEPLOY, deploys::deploy);
    let operations = add(
        operations,
        &admin,
        &operations::SET_TRAFFIC,
        deploys::set_traffic,
    );
    let operations = add(
        operations,
        &admin,
        &operations::ROLL_BACK,
        deploys::roll_back,
    );
    let operations = add_kv(operations, &admin);
    let operations = add_blobs(operations, &admin);
    let operations = add_cache(operations, &admin);
    let operations = add_secrets(operations, &admin);
    let operations = add_triggers(operations, &admin);
    let operations = add(
        operations,
        &admin,
        &operations::LIST_TENANTS,
        accounts::tenants,
    );
    let operations = add(
        operations,
        &admin,
        &operations::PUT_TENANT,
        accounts::put_tenant,
    );
    let operations = add(
        operations,
        &admin,
        &operations::REMOVE_TENANT,
        accounts::remove_tenant,
    );
    let operations = add(
        operations,
        &admin,
        &operations::LIST_TOKENS,
        accounts::tokens,
    );
    let operations = add(
        operations,
        &admin,
        &operations::MAKE_TOKEN,
        accounts::make_token,
    );
    let operations = add(
        operations,
        &admin,
        &operations::REMOVE_TOKEN,
        accounts::remove_token,
    );
    let operations = add(operations, &admin, &operations::LIST_AUDIT, history::audit);
    let operations = add(operations, &admin, &operations::GET_USAGE, history::usage);
    let operations = add(
        operations,
        &admin,
        &operations::GET_METRICS,
        history::metrics,
    );
    let operations = add(operations, &admin, &operations::BACK_UP, backups::back_up);
    operations
        .route("/openapi.json", get(openapi))
        .route("/healthz", get(|| async { StatusCode::NO_CONTENT }))
        .route("/readyz", get(ready))
        .fallback(|| async { Failed::no_such_operation() })
        .method_not_allowed_fallback(|| async { Failed::no_such_operation() })
        .layer(middleware::from_fn(request_id::give))
        .with_state(admin)
}

/// Adds the operations on key-value data.
fn add_kv(operations: Router<Admin>, admin: &Admin) -> Router<Admin> {
    let operations = add(operations, admin, &operations::GET_VALUE, kv::get);
    let operations = add(operations, admin, &operations::PUT_VALUE, kv::put);
    let operations = add(operations, admin, &operations::REMOVE_VALUE, kv::remove);
    let operations = add(operations, admin, &operations::LIST_KEYS, kv::list);
    let operations = add(operations, admin, &operations::READ_VALUES, kv::read);
    let operations = add(operations, admin, &operations::WRITE_VALUES, kv::write);
    add(
        operations,
        admin,
        &operations::REMOVE_VALUES,
        kv::remove_all,
    )
}

fn add_blobs(router: Router<Admin>, admin: &Admin) -> Router<Admin> {
    use operations::{GET_BLOB, HEAD_BLOB, LIST_BLOBS, PUT_BLOB, REMOVE_BLOB};

    let router = add(router, admin, &LIST_BLOBS, blobs::list);
    let router = add(router, admin, &HEAD_BLOB, blobs::head);
    let router = add(router, admin, &GET_BLOB, blobs::get);
    let router = add(router, admin, &PUT_BLOB, blobs::put);
    add(router, admin, &REMOVE_BLOB, blobs::remove)
}

fn add_cache(router: Router<Admin>, admin: &Admin) -> Router<Admin> {
    let router = add(router, admin, &operations::GET_CACHE, cache::usage);
    add(router, admin, &operations::PURGE_CACHE, cache::purge)
}

fn add_secrets(router: Router<Admin>, admin: &Admin) -> Router<Admin> {
    let router = add(router, admin, &operations::LIST_SECRETS, secrets::list);
    let router = add(router, admin, &operations::PUT_SECRET, secrets::put);
    let back = &operations::ROLL_BACK_SECRET;
    let router = add(router, admin, back, secrets::roll_back);
    let router = add(router, admin, &operations::REMOVE_SECRET, secrets::remove);
    let rotate = &operations::ROTATE_SECRETS_KEY;
    add(router, admin, rotate, secrets::rotate_key)
}

fn add_triggers(router: Router<Admin>, admin: &Admin) -> Router<Admin> {
    use operations::{
        LIST_MESSAGES, LIST_TRIGGERS, PAUSE_TRIGGER, PURGE_MESSAGES, RESUME_TRIGGER,
        RETRY_MESSAGES, SEND_MESSAGE,
    };

    let router = add(router, admin, &LIST_TRIGGERS, triggers::list);
    let router = add(router, admin, &LIST_MESSAGES, triggers::messages);
    let router = add(router, admin, &SEND_MESSAGE, triggers::send);
    let router = add(router, admin, &PURGE_MESSAGES, triggers::purge);
    let router = add(router, admin, &RETRY_MESSAGES, triggers::retry);
    let router = add(router, admin, &PAUSE_TRIGGER, triggers::pause);
    add(router, admin, &RESUME_TRIGGER, triggers::resume)
}

/// Whether a balancer may send requests here. No secret, like whether the node is there at all.
async fn ready(State(admin): State<Admin>) -> StatusCode {
    if admin.node.is_ready() {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// The document is no secret: it is the same on every node of a release.
async fn openapi() -> Json<OpenApi> {
    Json(everwarm_api::openapi::document(env!("CARGO_PKG_VERSION")))
}

/// Adds an operation behind the check of who may have it.
fn add<H, T>(
    router: Router<Admin>,
    admin: &Admin,
    operation: &'static Operation,
    handler: H,
) -> Router<Admin>
where
    H: Handler<T, Admin>,
    T: 'static,
{
    let method = MethodFilter::try_from(operation.method.clone());
    let method = method.expect("the list of operations has methods that axum knows");
    let checked = middleware::from_fn_with_state((admin.clone(), operation), auth::check);
    let way: MethodRouter<Admin> = on(method, handler).layer(checked);
    router.route(operation.path, way)
}
