//! Queues and schedules of the apps that serve: which there are, and how a function is called for one.
//!
//! Owns that the version that serves is the one that is called, and that an app's triggers come and go with it. When a
//! message is delivered is `everwarm_triggers`' to say, what is kept is the store's.

use std::sync::Arc;
use std::time::Duration;

use everwarm_edge::services::{NodeCall, NotLetIn, ServiceCalls};
use everwarm_engine::request::{Request, RequestBody};
use everwarm_manifest::{App, TenantId};
use everwarm_store::embedded::Embedded;
use everwarm_triggers::verdict::JSON_BYTES_MAX;
use everwarm_triggers::{
    Answer, AppTriggers, Call, CallError, CallFuture, Caller, Occasion, Runner,
};
use http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;

use crate::apps::{AppKey, Apps};
use crate::node::Node;
use crate::stores::NodeStores;

/// How long the calls that are under way may take when another process is to have the store.
const REST_TIME_MAX: Duration = Duration::from_secs(2);

/// Makes what delivers messages: out of `store`, to functions of `apps`, those that functions send to `stores` among them.
pub(crate) fn runner(
    store: &Arc<Embedded>,
    apps: &Arc<Mutex<Apps>>,
    services: &Arc<ServiceCalls>,
    stores: &NodeStores,
) -> Arc<Runner> {
    let caller = NodeCaller {
        apps: Arc::clone(apps),
        services: Arc::clone(services),
    };
    let store = Arc::clone(store);
    let quotas = Arc::clone(&stores.quotas);
    let quota = move |tenant: &TenantId| quotas.quota(tenant).messages;
    let runner = Arc::new(Runner::new(store, Arc::new(caller), quota));
    stores.deliver_by(&runner);
    runner
}

impl Node {
    /// The triggers of a version that serves from now on.
    pub(crate) fn set_triggers(&self, tenant: &TenantId, app: &App, occasion: Occasion) {
        let triggers = AppTriggers {
            queues: app.queues.clone(),
            schedules: app.schedules.clone(),
        };
        self.triggers.set(tenant, &app.name, triggers, occasion);
    }

    /// Takes no more messages, so that the store can be let go. A call that takes longer is made again by whoever has the
    /// store then.
    pub(crate) async fn rest_triggers(&self) {
        if !self.triggers.rest(REST_TIME_MAX).await {
            tracing::warn!(
                "some calls of queues and schedules haven't ended: their messages will be delivered again"
            );
        }
    }
}

struct NodeCaller {
    apps: Arc<Mutex<Apps>>,
    services: Arc<ServiceCalls>,
}

impl Caller for NodeCaller {
    fn call(&self, call: Call) -> CallFuture {
        let key: AppKey = (call.tenant.clone(), call.app.clone());
        let target = self.apps.lock().function(&key, &call.function);
        let services = Arc::clone(&self.services);
        Box::pin(async move {
            let Some(target) = target else {
                let reason = format!(
                    "the version that serves has no function `{}`",
                    call.function
                );
                return Err(CallError::Failed(reason));
            };
            let (request, told) = request(&call)?;
            let asked = services.ask(NodeCall {
                target,
                request,
                told,
                deadline: call.deadline,
            });
            match asked.await {
                Ok(response) => answer(response).await,
                // No lane has room, or they have ended: the function wasn't asked.
                Err(_) => Err(CallError::NotNow),
            }
        })
    }
}

/// The request of a call, and what the node itself says in it.
fn request(call: &Call) -> Result<(Request, HeaderMap), CallError> {
    let host = format!("{}.everwarm.internal", call.function);
    let uri = Uri::builder()
        .scheme("http")
        .authority(host)
        .path_and_query(call.path.as_str())
        .build()
        .map_err(|error| CallError::Failed(error.to_string()))?;
    let mut headers = call.headers.clone();
    let ours: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("everwarm-"))
        .cloned()
        .collect();
    let mut told = HeaderMap::new();
    for name in ours {
        if let Some(value) = headers.remove(&name) {
            told.insert(name, value);
        }
    }
    let body = if call.body.is_empty() {
        RequestBody::Empty
    } else {
        let whole = Full::new(call.body.clone()).map_err(|never| match never {});
        RequestBody::Stream(Box::pin(whole))
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(call.body.len()));
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok((request, told))
}

/// Reads an answer to its end: a function that fails in the middle of one has failed.
async fn answer(response: Response<RequestBody>) -> Result<Answer, CallError> {
    if response.extensions().get::<NotLetIn>().is_some() {
        return Err(CallError::NotNow);
    }
    let (head, body) = response.into_parts();
    let retry_after = head.headers.get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.len() >= 16 && value[..16].eq_ignore_ascii_case(b"application/json")
    });
    let mut json = (is_json && head.status.is_success()).then(Vec::new);
    if let RequestBody::Stream(mut body) = body {
        while let Some(frame) = body.frame().await {
            let broke_off = |error| CallError::Failed(format!("the answer broke off: {error}"));
            let Ok(data) = frame.map_err(broke_off)?.into_data() else {
                continue;
            };
            json = json.filter(|json| json.len() + data.len() <= JSON_BYTES_MAX);
            if let Some(json) = &mut json {
                json.extend_from_slice(&data);
            }
        }
    }
    Ok(Answer {
        status: head.status,
        retry_after: retry_after.map(Duration::from_secs),
        json: json.map(Into::into),
    })
}
