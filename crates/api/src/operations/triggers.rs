//! The operations on queues and schedules of apps.
//!
//! What messages say needs the scope `deploy`; how queues and schedules stand is shown with `read`.

use http::Method;

use super::{
    AFTER, APP, Body, LIMIT, Operation, Parameter, Way, in_path, in_query, json, operation,
};
use crate::messages::{Changed, MessagePage, Retry, Scope, SentMessage, TriggerPage};

const KIND: Parameter = in_path("kind", "`queue` or `schedule`.");
const NAME: Parameter = in_path("name", "Its name.");
const STATE: Parameter = in_query(
    "state",
    "`waiting` (those that are delivered among them) or `dead`. Absent: `waiting`.",
);

const MESSAGES_PATH: &str = "/v1/apps/{app}/triggers/{kind}/{name}/messages";
const PAUSED_PATH: &str = "/v1/apps/{app}/triggers/{kind}/{name}/paused";

/// List queues and schedules.
pub const LIST_TRIGGERS: Operation = operation(
    "listTriggers",
    Way(&Method::GET, "/v1/apps/{app}/triggers", Scope::Read),
    "Lists the queues and schedules of the version that serves, and how they stand",
    &[APP],
    Body::Nothing,
    json::<TriggerPage>(),
);

/// List messages.
pub const LIST_MESSAGES: Operation = operation(
    "listMessages",
    Way(&Method::GET, MESSAGES_PATH, Scope::Deploy),
    "Lists messages in the order of sending",
    &[APP, KIND, NAME, STATE, AFTER, LIMIT],
    Body::Nothing,
    json::<MessagePage>(),
);

/// Send a message, or run a schedule now.
pub const SEND_MESSAGE: Operation = operation(
    "sendMessage",
    Way(&Method::POST, MESSAGES_PATH, Scope::Deploy),
    "Sends a message to a queue, or runs a schedule now, whatever its cron line says",
    &[
        APP,
        KIND,
        NAME,
        in_query(
            "delay_s",
            "Seconds before which it isn't delivered, 366 days at most. Absent: at once.",
        ),
    ],
    Body::Other {
        media_type: "application/octet-stream",
        meaning: "the message's body, 256 KiB at most, with its own `content-type`",
    },
    json::<SentMessage>(),
);

/// Forget messages.
pub const PURGE_MESSAGES: Operation = operation(
    "purgeMessages",
    Way(&Method::DELETE, MESSAGES_PATH, Scope::Deploy),
    "Forgets all messages of a state but those that are being delivered",
    &[APP, KIND, NAME, STATE],
    Body::Nothing,
    json::<Changed>(),
);

/// Try dead messages again.
pub const RETRY_MESSAGES: Operation = operation(
    "retryMessages",
    Way(
        &Method::POST,
        "/v1/apps/{app}/triggers/{kind}/{name}/retry",
        Scope::Deploy,
    ),
    "Lets dead messages be delivered again, from the first attempt on",
    &[APP, KIND, NAME],
    json::<Retry>(),
    json::<Changed>(),
);

/// Pause.
pub const PAUSE_TRIGGER: Operation = operation(
    "pauseTrigger",
    Way(&Method::PUT, PAUSED_PATH, Scope::Deploy),
    "Pauses a queue or a schedule: messages are taken in and none is delivered, no run is begun",
    &[APP, KIND, NAME],
    Body::Nothing,
    Body::Nothing,
);

/// Go on.
pub const RESUME_TRIGGER: Operation = operation(
    "resumeTrigger",
    Way(&Method::DELETE, PAUSED_PATH, Scope::Deploy),
    "Lets a queue or a schedule go on that was paused",
    &[APP, KIND, NAME],
    Body::Nothing,
    Body::Nothing,
);
