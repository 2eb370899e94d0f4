//! Queues: `everwarm:queue`, on the node's store.
//!
//! Owns to which of its app's queues a function may send, and what failures mean to it. Who handles the messages is the
//! node's to say.

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::span::Kind;
use everwarm_manifest::{QueueName, World};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{Content, DeliveryId, NewMessage, Trigger, TriggerError, TriggerId};
use wasmtime::component::{HasSelf, Linker};

use crate::notice::Notices;
use crate::{GuestOutput, Stores};
use bindings::everwarm::queue::producer;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/queue",
        world: "everwarm:queue/queue",
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

/// See the module's documentation.
pub struct Queue {
    stores: Option<Arc<dyn Stores>>,
    output: Option<Arc<dyn GuestOutput>>,
}

impl Queue {
    /// Functions send to queues in `stores`; without, there are none.
    pub fn new(stores: Option<Arc<dyn Stores>>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self { stores, output }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// Where one function may send to.
struct Granted {
    stores: Option<Arc<dyn Stores>>,
    queues: Vec<TriggerId>,
    notices: Notices,
}

impl Granted {
    fn find(&self, name: &str) -> Result<&TriggerId, producer::Error> {
        if let Some(queue) = self
            .queues
            .iter()
            .find(|queue| queue.trigger.name() == name)
        {
            return Ok(queue);
        }
        if QueueName::new(name).is_err() {
            return Err(producer::Error::NoSuchQueue);
        }
        self.notices.say("a message wasn't sent", |function| {
            format!(
                "queue `{name}` denied: no grant allows it. To allow it, declare it in [[queue]] and add \"{name}\" to \
                 `queues` in [function.grants] of the function `{function}`"
            )
        });
        Err(producer::Error::AccessDenied)
    }

    async fn send(
        &self,
        queue: &str,
        messages: Vec<producer::Message>,
        trace: Option<&str>,
    ) -> Result<Vec<String>, producer::Error> {
        let queue = self.find(queue)?;
        let now = UnixMillis::now();
        let messages = messages.into_iter().map(|message| {
            // An empty text is as good as none.
            let content_type = message.content_type.filter(|text| !text.is_empty());
            NewMessage {
                content: Content {
                    body: message.body.into(),
                    content_type,
                    trace: trace.map(ToOwned::to_owned),
                    ..Content::default()
                },
                due: UnixMillis(now.0.saturating_add(message.delay_ms)),
            }
        });
        let sending = self
            .stores
            .as_ref()
            .and_then(|stores| stores.send(queue, messages.collect()));
        let sending = sending.ok_or_else(|| {
            producer::Error::Unavailable("the node is starting: its store isn't open yet".into())
        })?;
        let ids = sending.await.map_err(|error| told(&error))?;
        let names = ids
            .into_iter()
            .map(|id| DeliveryId(&queue.trigger, id).to_string());
        Ok(names.collect())
    }
}

/// What a function hears of a failure.
fn told(error: &TriggerError) -> producer::Error {
    let text = error.to_string();
    match error {
        TriggerError::BodyTooLarge { .. }
        | TriggerError::FieldTooLong
        | TriggerError::DelayTooLong
        | TriggerError::BatchTooLong { .. }
        | TriggerError::BatchTooLarge => producer::Error::TooLarge(text),
        TriggerError::TooManyMessages { .. } | TriggerError::TooManyBytes { .. } => {
            producer::Error::Full(text)
        }
        TriggerError::DiskFull | TriggerError::Damaged { .. } | TriggerError::Failed { .. } => {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "a message can't be kept"
            );
            producer::Error::Unavailable("the node can't write to its queues now".into())
        }
    }
}

impl Capability for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &["everwarm:queue/producer@0.1.0"]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        producer::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let queues = function.grants.queues.iter().map(|name| TriggerId {
            tenant: function.tenant.clone(),
            app: function.app.clone(),
            trigger: Trigger::Queue(name.clone()),
        });
        Ok(Arc::new(Granted {
            stores: self.stores.clone(),
            queues: queues.collect(),
            notices: Notices::new(function, self.output.clone()),
        }))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}

impl producer::Host for Sandbox {
    async fn send(
        &mut self,
        queue: String,
        messages: Vec<producer::Message>,
    ) -> wasmtime::Result<Result<Vec<String>, producer::Error>> {
        // The messages go on with the trace, whether it is recorded or not.
        let context = self.next_child();
        let mut span =
            context.and_then(|context| self.ongoing("queue send", Kind::Producer, context));
        let Some(granted) = self.state::<Granted>() else {
            return Ok(Err(producer::Error::AccessDenied));
        };
        if let Some(span) = &mut span {
            span.fact("messaging.system", "everwarm");
            span.fact("messaging.destination.name", queue.as_str());
            span.fact("messaging.batch.message_count", messages.len());
        }
        let trace = context.map(|context| context.field());
        let trace = trace.as_ref().and_then(|field| field.to_str().ok());
        let sent = granted.send(&queue, messages, trace).await;
        if let (Some(span), Err(_)) = (&mut span, &sent) {
            span.failed("not sent");
        }
        Ok(sent)
    }
}
