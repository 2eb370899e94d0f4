//! A model of queues and schedules: maps of messages. Knows nothing of any engine.

use std::collections::BTreeMap;

use everwarm_manifest::{AppName, QueueName, ScheduleName, TenantId};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{
    Content, KeptMessages, MessageId, Receipt, Standing, State, Trigger, TriggerError, TriggerId,
    TriggerQuota, Which,
};
use proptest::prelude::*;

pub(crate) const QUOTA: TriggerQuota = TriggerQuota {
    messages_max: 8,
    bytes_max: 5_000,
};

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Send(usize, Vec<New>),
    /// How many, how many bytes, and for how long.
    Lease(usize, u32, usize, u64),
    /// Leases by when they were given, the last first.
    Settle(usize, Vec<usize>, Came),
    Pause(usize, bool),
    /// Whether it is said where it is, and for how many runs.
    Fire(usize, bool, usize),
    /// All, or so many of the first that there ever were.
    Revive(usize, Option<usize>),
    Purge(usize, Which),
    /// What died so long ago.
    Sweep(u64),
    Remove(usize),
    Pass(u64),
    Reopen,
}

/// Bytes of the body, and after how long it is due.
pub(crate) type New = (usize, u64);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Came {
    Well,
    Again(u64),
    Dead,
    Back,
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    let of = || 0_usize..3;
    let len = prop_oneof![4 => 0_usize..20, 1 => 700_usize..2_000];
    let new = (len, prop_oneof![2 => Just(0_u64), 1 => 0_u64..30]);
    let batch = prop::collection::vec(new, 0..4);
    let bytes = prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..100];
    let came = prop_oneof![
        3 => Just(Came::Well),
        2 => (0_u64..30).prop_map(Came::Again),
        2 => Just(Came::Dead),
        1 => Just(Came::Back),
    ];
    let leases = prop::collection::vec(0_usize..8, 0..4);
    let which = prop_oneof![Just(Which::Waiting), Just(Which::Dead)];
    prop_oneof![
        6 => (of(), batch).prop_map(|(of, batch)| Action::Send(of, batch)),
        6 => (of(), 0_u32..4, bytes, 0_u64..30)
            .prop_map(|(of, count, bytes, time)| Action::Lease(of, count, bytes, time)),
        8 => (of(), leases, came).prop_map(|(of, leases, came)| Action::Settle(of, leases, came)),
        1 => (of(), any::<bool>()).prop_map(|(of, is_paused)| Action::Pause(of, is_paused)),
        2 => (of(), any::<bool>(), 0_usize..3)
            .prop_map(|(of, is_right, runs)| Action::Fire(of, is_right, runs)),
        2 => (of(), prop::option::of(0_usize..9)).prop_map(|(of, ids)| Action::Revive(of, ids)),
        1 => (of(), which).prop_map(|(of, which)| Action::Purge(of, which)),
        1 => (0_u64..30).prop_map(Action::Sweep),
        1 => (0_usize..2).prop_map(Action::Remove),
        4 => (0_u64..20).prop_map(Action::Pass),
        1 => Just(Action::Reopen),
    ]
}

/// The first two are one app's.
pub(crate) fn ids() -> [TriggerId; 3] {
    let queue = || Trigger::Queue(QueueName::new("one").unwrap());
    let schedule = Trigger::Schedule(ScheduleName::new("one").unwrap());
    [("shop", queue()), ("shop", schedule), ("blog", queue())].map(|(app, trigger)| TriggerId {
        tenant: TenantId::default_tenant(),
        app: AppName::new(app).unwrap(),
        trigger,
    })
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) len: usize,
    pub(crate) sent: u64,
    pub(crate) attempts: u32,
    pub(crate) state: State,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) reason: Option<String>,
}

impl Message {
    /// When it may be leased.
    pub(crate) fn due(&self) -> Option<u64> {
        match self.state {
            State::Waits(due) | State::Leased(due) => Some(due.0),
            State::Dead(_) => None,
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.due().is_none()
    }

    pub(crate) fn is_leased(&self, now: u64) -> bool {
        matches!(self.state, State::Leased(until) if until.0 > now)
    }
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Line {
    pub(crate) last: u64,
    pub(crate) messages: BTreeMap<u64, Message>,
    pub(crate) is_paused: bool,
    pub(crate) fired: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) lines: BTreeMap<usize, Line>,
    /// Messages of removed apps.
    pub(crate) removed: u64,
    /// All that were ever given, of each trigger.
    pub(crate) leases: BTreeMap<usize, Vec<(MessageId, Receipt)>>,
}

/// What is refused, by name.
pub(crate) type Refused = &'static str;

pub(crate) fn refused(error: &TriggerError) -> Refused {
    match error {
        TriggerError::TooManyMessages { .. } => "messages",
        TriggerError::TooManyBytes { .. } => "bytes",
        other => panic!("{other:?}"),
    }
}

impl Model {
    pub(crate) fn kept(&self, of: usize) -> KeptMessages {
        // The first two are one app's.
        let lines = self
            .lines
            .iter()
            .filter(|(other, _)| (**other < 2) == (of < 2));
        let messages = lines.flat_map(|(_, line)| line.messages.values());
        messages.fold(KeptMessages::default(), |sum, message| KeptMessages {
            messages: sum.messages + 1,
            bytes: sum.bytes + message.len as u64,
        })
    }

    /// Keeps messages, all or none.
    pub(crate) fn put(&mut self, of: usize, new: &[New]) -> Result<Vec<MessageId>, Refused> {
        let kept = self.kept(of);
        let bytes: u64 = new.iter().map(|(len, _)| *len as u64).sum();
        if kept.messages + new.len() as u64 > QUOTA.messages_max {
            return Err("messages");
        }
        if kept.bytes + bytes > QUOTA.bytes_max {
            return Err("bytes");
        }
        let now = self.now;
        let line = self.lines.entry(of).or_default();
        let mut names = Vec::new();
        for (len, after) in new {
            line.last += 1;
            let message = Message {
                len: *len,
                sent: now,
                attempts: 0,
                state: State::Waits(UnixMillis(now + after)),
                receipt: None,
                reason: None,
            };
            line.messages.insert(line.last, message);
            names.push(MessageId(line.last));
        }
        Ok(names)
    }

    /// What a lease gets.
    pub(crate) fn due(&self, of: usize, count: u32, bytes_max: usize) -> Vec<u64> {
        let Some(line) = self.lines.get(&of).filter(|line| !line.is_paused) else {
            return Vec::new();
        };
        let mut due: Vec<_> = line
            .messages
            .iter()
            .filter_map(|(id, message)| Some((message.due()?, *id)))
            .filter(|(due, _)| *due <= self.now)
            .collect();
        due.sort_unstable();
        due.truncate(count as usize);
        let (mut bytes, mut taken) = (0, Vec::new());
        for (_, id) in due {
            bytes += line.messages[&id].len;
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.push(id);
        }
        taken
    }

    pub(crate) fn settle(
        &mut self,
        of: usize,
        (id, receipt): (MessageId, Receipt),
        came: Came,
    ) -> bool {
        let now = self.now;
        let Some(line) = self.lines.get_mut(&of) else {
            return false;
        };
        let Some(message) = line.messages.get_mut(&id.0) else {
            return false;
        };
        if message.receipt != Some(receipt) {
            return false;
        }
        message.receipt = None;
        match came {
            Came::Well => drop(line.messages.remove(&id.0)),
            Came::Again(after) => {
                message.state = State::Waits(UnixMillis(now + after));
                message.reason = Some("again".to_owned());
            }
            Came::Dead => {
                message.state = State::Dead(UnixMillis(now));
                message.reason = Some("dead".to_owned());
            }
            Came::Back => {
                message.state = State::Waits(UnixMillis(message.sent.min(now)));
                message.attempts -= 1;
            }
        }
        true
    }

    pub(crate) fn standing(&self, of: usize) -> Standing {
        let Some(line) = self.lines.get(&of) else {
            return Standing::default();
        };
        let mut standing = Standing {
            is_paused: line.is_paused,
            ..Standing::default()
        };
        for message in line.messages.values() {
            standing.bytes += message.len as u64;
            let count = match message.due() {
                None => &mut standing.dead,
                Some(_) if message.is_leased(self.now) => &mut standing.leased,
                Some(due) if due <= self.now => &mut standing.due,
                Some(_) => &mut standing.delayed,
            };
            *count += 1;
        }
        let first = line.messages.values().find(|message| !message.is_dead());
        standing.oldest = first.map(|message| UnixMillis(message.sent));
        standing
    }
}

/// The one content of so many bytes.
pub(crate) fn content(len: usize) -> Content {
    let text = format!("{len} bytes");
    Content {
        body: text.bytes().cycle().take(len).collect(),
        content_type: len.is_multiple_of(2).then(|| text.clone()),
        trace: len.is_multiple_of(3).then_some(text),
        scheduled: len.is_multiple_of(5).then_some(UnixMillis(len as u64)),
    }
}
