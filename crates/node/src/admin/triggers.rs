//! Queues and schedules of apps, for their owners: how they stand, their messages, pauses and runs by hand.
//!
//! Owns that each change is in the audit log before it is made: who, of which app, how many; no message. What is meant has to
//! be declared by the version that serves, or to have messages that were left by one that declared it.

use axum::Json;
use axum::extract::{Extension, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use everwarm_api::messages::{
    self, Base64, Changed, MESSAGE_BYTES_MAX, MESSAGES_MAX, MessagePage, MessageState, SentMessage,
    TriggerInfo, TriggerKind, TriggerPage,
};
use everwarm_manifest::{App, AppName, QueueName, ScheduleName};
use everwarm_store::Store as _;
use everwarm_store::audit::Action;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{
    self, Content, DELAY_MS_MAX, DeliveryId, Kept, MessageId, NewMessage, SWEEP_MAX, Standing,
    Trigger, TriggerError, TriggerId, Which,
};
use serde::Deserialize;

use super::Admin;
use super::apps::app_name;
use super::auth::Caller;
use super::failure::Failed;
use super::history::announce;
use super::pages::Asked;
use super::sent::{Asking, Name, Sent, text, whole};

/// Changes of as many messages as one takes that one request makes at most.
const CHANGES_MAX: u64 = 1_000;

// Clients check what they send before they do.
const _: () =
    assert!(MESSAGE_BYTES_MAX == triggers::BODY_BYTES_MAX && MESSAGES_MAX == triggers::BATCH_MAX);

/// The app, the kind and the name in a path.
pub(super) struct Meant(String, String, String);

impl<S: Send + Sync> FromRequestParts<S> for Meant {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let names = Path::<(String, String, String)>::from_request_parts(parts, state).await;
        let Path((app, kind, name)) =
            names.map_err(|error| Failed::bad_request(error.body_text()))?;
        Ok(Self(app, kind, name))
    }
}

/// Which messages are meant.
#[derive(Debug, Deserialize)]
pub(super) struct OfState {
    #[serde(default)]
    state: StateAsked,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateAsked {
    #[default]
    Waiting,
    Dead,
}

impl From<StateAsked> for Which {
    fn from(state: StateAsked) -> Self {
        match state {
            StateAsked::Waiting => Self::Waiting,
            StateAsked::Dead => Self::Dead,
        }
    }
}

/// For how long.
#[derive(Debug, Deserialize)]
pub(super) struct After {
    delay_s: Option<u64>,
}

/// The manifest of the version that serves.
async fn serving(admin: &Admin, caller: &Caller, app: &str) -> Result<App, Failed> {
    let app = app_name(app)?;
    let serving = admin
        .node
        .store
        .catalog()
        .serving(&caller.tenant, &app)
        .await?;
    let serving = serving.ok_or_else(|| Failed::not_found(&format!("app `{app}`")))?;
    Ok(serving.main.manifest)
}

/// The queue or schedule that a path names: what serves declares it, or it still has messages.
async fn meant(admin: &Admin, caller: &Caller, meant: Meant) -> Result<TriggerId, Failed> {
    let (of, is_declared) = named(admin, caller, &meant).await?;
    if is_declared || keeps_something(&standing(admin, &of).await?) {
        return Ok(of);
    }
    Err(not_there(&meant))
}

/// As [`meant`], but somebody has to handle its messages.
async fn declared(admin: &Admin, caller: &Caller, meant: Meant) -> Result<TriggerId, Failed> {
    let (of, is_declared) = named(admin, caller, &meant).await?;
    let of = is_declared.then_some(of);
    of.ok_or_else(|| not_there(&meant))
}

fn not_there(Meant(app, kind, name): &Meant) -> Failed {
    let name = name.escape_debug();
    Failed::not_found(&format!(
        "{kind} `{name}` in what serves of {app}: declare it in [[{kind}]] of the manifest, and deploy that"
    ))
}

/// The queue or schedule of that name, and whether what serves declares it.
async fn named(admin: &Admin, caller: &Caller, meant: &Meant) -> Result<(TriggerId, bool), Failed> {
    let Meant(app, kind, name) = meant;
    let manifest = serving(admin, caller, app).await?;
    let trigger = match &**kind {
        "queue" => QueueName::new(name).ok().map(Trigger::Queue),
        "schedule" => ScheduleName::new(name).ok().map(Trigger::Schedule),
        _ => {
            return Err(Failed::not_found(&format!(
                "kind `{}`",
                kind.escape_debug()
            )));
        }
    };
    let trigger = trigger.ok_or_else(|| not_there(meant))?;
    let is_declared = declares(&manifest, &trigger);
    let of = TriggerId {
        tenant: caller.tenant.clone(),
        app: manifest.name,
        trigger,
    };
    Ok((of, is_declared))
}

fn declares(manifest: &App, trigger: &Trigger) -> bool {
    match trigger {
        Trigger::Queue(name) => manifest.queues.iter().any(|queue| queue.name == *name),
        Trigger::Schedule(name) => manifest.schedules.iter().any(|it| it.name == *name),
    }
}

async fn standing(admin: &Admin, of: &TriggerId) -> Result<Standing, Failed> {
    let triggers = admin.node.store.triggers();
    Ok(triggers.standing(of, UnixMillis::now()).await?)
}

fn keeps_something(standing: &Standing) -> bool {
    standing.due + standing.delayed + standing.leased + standing.dead > 0
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
) -> Result<Json<TriggerPage>, Failed> {
    let manifest = serving(&admin, &caller, &app).await?;
    let mut items = Vec::new();
    for queue in &manifest.queues {
        let trigger = Trigger::Queue(queue.name.clone());
        let info = info(&admin, &caller, &manifest.name, trigger).await?;
        items.push(TriggerInfo {
            function: queue.function.to_string(),
            path: queue.path.to_string(),
            ..info
        });
    }
    let now = UnixMillis::now();
    for schedule in &manifest.schedules {
        let trigger = Trigger::Schedule(schedule.name.clone());
        let info = info(&admin, &caller, &manifest.name, trigger).await?;
        items.push(TriggerInfo {
            function: schedule.function.to_string(),
            path: schedule.path.to_string(),
            cron: Some(schedule.cron.to_string()),
            zone: Some(schedule.zone.to_string()),
            next_ms: schedule
                .cron
                .next_after(now.0, &schedule.zone)
                .filter(|_| !info.paused),
            ..info
        });
    }
    let kept = admin
        .node
        .store
        .triggers()
        .of_app(&caller.tenant, &manifest.name);
    for trigger in kept.await? {
        if declares(&manifest, &trigger) {
            continue;
        }
        let info = info(&admin, &caller, &manifest.name, trigger).await?;
        items.push(TriggerInfo {
            undeclared: true,
            ..info
        });
    }
    Ok(Json(TriggerPage { items }))
}

/// What the store knows of a trigger.
async fn info(
    admin: &Admin,
    caller: &Caller,
    app: &AppName,
    trigger: Trigger,
) -> Result<TriggerInfo, Failed> {
    let of = TriggerId {
        tenant: caller.tenant.clone(),
        app: app.clone(),
        trigger,
    };
    let standing = standing(admin, &of).await?;
    Ok(TriggerInfo {
        kind: match of.trigger {
            Trigger::Queue(_) => TriggerKind::Queue,
            Trigger::Schedule(_) => TriggerKind::Schedule,
        },
        name: of.trigger.name().to_owned(),
        function: String::new(),
        path: String::new(),
        undeclared: false,
        paused: standing.is_paused,
        due: standing.due,
        delayed: standing.delayed,
        leased: standing.leased,
        dead: standing.dead,
        bytes: standing.bytes,
        oldest_ms: standing.oldest.map(|at| at.0),
        cron: None,
        zone: None,
        next_ms: None,
    })
}

pub(super) async fn messages(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    of: Meant,
    Asking(OfState { state }): Asking<OfState>,
    Asking(asked): Asking<Asked>,
) -> Result<Json<MessagePage>, Failed> {
    let of = meant(&admin, &caller, of).await?;
    let after = asked.after.as_deref().map(|text| id(&of.trigger, text));
    let _turn = admin.batches.wait(&caller.tenant).await;
    let triggers = admin.node.store.triggers();
    let page = triggers
        .list(&of, state.into(), after.transpose()?, asked.count())
        .await?;
    let items = page.messages.into_iter().map(|kept| told(&of, kept));
    Ok(Json(MessagePage {
        items: items.collect(),
        next: page.next.map(|id| DeliveryId(&of.trigger, id).to_string()),
    }))
}

fn id(trigger: &Trigger, text: &str) -> Result<MessageId, Failed> {
    DeliveryId::parse(trigger, text).ok_or_else(|| {
        let text = text.escape_debug();
        Failed::bad_request(format!("`{text}` names no message of the {trigger}"))
    })
}

fn told(of: &TriggerId, kept: Kept) -> messages::Message {
    let (state, until) = match kept.state {
        triggers::State::Waits(until) => (MessageState::Waits, until),
        triggers::State::Leased(until) => (MessageState::Leased, until),
        triggers::State::Dead(since) => (MessageState::Dead, since),
    };
    messages::Message {
        id: DeliveryId(&of.trigger, kept.id).to_string(),
        state,
        until_ms: until.0,
        attempts: kept.attempts,
        sent_ms: kept.sent.0,
        scheduled_ms: kept.content.scheduled.map(|at| at.0),
        reason: kept.reason,
        content_type: kept.content.content_type,
        body: Base64(kept.content.body),
    }
}

pub(super) async fn send(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    of: Meant,
    Asking(after): Asking<After>,
    request: Request,
) -> Result<Json<SentMessage>, Failed> {
    let of = declared(&admin, &caller, of).await?;
    // What is wrong is told before the body is read and the audit log told.
    let delay_ms = after.delay_s.unwrap_or(0).saturating_mul(1_000);
    if delay_ms > DELAY_MS_MAX {
        return Err(TriggerError::DelayTooLong.into());
    }
    let content_type = text(request.headers(), &header::CONTENT_TYPE)?.map(str::to_owned);
    let _turn = admin.values.wait(&caller.tenant).await;
    let body = whole(request.into_body(), MESSAGE_BYTES_MAX).await?;
    let detail = of.trigger.to_string();
    announce(&admin, &caller, Action::SendMessages, &of.app, detail).await?;
    let now = UnixMillis::now();
    let message = NewMessage {
        content: Content {
            body,
            content_type,
            trace: None,
            scheduled: matches!(of.trigger, Trigger::Schedule(_)).then_some(now),
        },
        due: UnixMillis(now.0.saturating_add(delay_ms)),
    };
    let triggers = admin.node.store.triggers();
    let quota = admin.node.app_quotas.quota(&caller.tenant).messages;
    let ids = triggers.send(&of, vec![message], quota, now).await?;
    admin.node.triggers.wake(&of);
    let id = ids.first().copied().unwrap_or(MessageId(0));
    Ok(Json(SentMessage {
        id: DeliveryId(&of.trigger, id).to_string(),
    }))
}

pub(super) async fn purge(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    of: Meant,
    Asking(OfState { state }): Asking<OfState>,
) -> Result<Json<Changed>, Failed> {
    let of = meant(&admin, &caller, of).await?;
    let detail = of.trigger.to_string();
    announce(&admin, &caller, Action::PurgeMessages, &of.app, detail).await?;
    let (triggers, now) = (admin.node.store.triggers(), UnixMillis::now());
    let mut messages = 0;
    for _ in 0..CHANGES_MAX {
        let purged = triggers.purge(&of, state.into(), now).await?;
        messages += u64::from(purged);
        if purged == 0 {
            break;
        }
    }
    Ok(Json(Changed { messages }))
}

pub(super) async fn retry(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    of: Meant,
    Sent(sent): Sent<messages::Retry>,
) -> Result<Json<Changed>, Failed> {
    let of = meant(&admin, &caller, of).await?;
    let ids = sent.ids.as_ref().map(|ids| {
        let ids = ids.iter().map(|text| id(&of.trigger, text));
        ids.collect::<Result<Vec<_>, _>>()
    });
    let ids = ids.transpose()?;
    let detail = of.trigger.to_string();
    announce(&admin, &caller, Action::RetryMessages, &of.app, detail).await?;
    let (triggers, now) = (admin.node.store.triggers(), UnixMillis::now());
    let mut messages = 0;
    for _ in 0..CHANGES_MAX {
        let revived = triggers.revive(&of, ids.clone(), now).await?;
        messages += u64::from(revived);
        admin.node.triggers.wake(&of);
        if ids.is_some() || revived < SWEEP_MAX {
            break;
        }
    }
    Ok(Json(Changed { messages }))
}

pub(super) async fn pause(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    of: Meant,
) -> Result<StatusCode, Failed> {
    set_paused(&admin, &caller, of, true).await
}

pub(super) async fn resume(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    of: Meant,
) -> Result<StatusCode, Failed> {
    set_paused(&admin, &caller, of, false).await
}

async fn set_paused(
    admin: &Admin,
    caller: &Caller,
    of: Meant,
    is_paused: bool,
) -> Result<StatusCode, Failed> {
    let of = meant(admin, caller, of).await?;
    let action = if is_paused {
        Action::PauseTrigger
    } else {
        Action::ResumeTrigger
    };
    announce(admin, caller, action, &of.app, of.trigger.to_string()).await?;
    admin
        .node
        .store
        .triggers()
        .set_paused(&of, is_paused)
        .await?;
    admin.node.triggers.wake(&of);
    Ok(StatusCode::NO_CONTENT)
}
