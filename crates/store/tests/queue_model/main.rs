//! The embedded engine's queues and schedules against a model of them: maps, whatever is done in whatever order.
//!
//! Owns how both are asked the same. Time is an argument, so nothing waits.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

mod model;

use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::embedded::disk::Medium;
use everwarm_store::triggers::{
    Lease, MessageId, NewMessage, Outcome, Settlement, State, TriggerId, Triggers, Which,
};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use model::{Action, Came, Message, Model, New, QUOTA, action, content, ids, refused};

struct Run {
    dir: tempfile::TempDir,
    runtime: Runtime,
    store: Option<Embedded>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            dir: tempfile::tempdir().unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
            store: None,
            model: Model::default(),
        };
        run.reopen();
        run
    }

    fn reopen(&mut self) {
        self.store = None;
        // What survives power loss is another test's.
        let medium = Medium {
            synchronous: false,
            ..Medium::local()
        };
        self.store = Some(Embedded::open_on(self.dir.path(), medium).unwrap());
        for line in self.model.lines.values_mut() {
            for message in line.messages.values_mut() {
                if let State::Leased(_) = message.state {
                    message.state = State::Waits(UnixMillis(message.sent));
                    message.receipt = None;
                }
            }
        }
    }

    fn triggers(&self) -> &dyn Triggers {
        self.store.as_ref().unwrap().triggers()
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.model.now)
    }

    fn new_messages(&self, new: &[New]) -> Vec<NewMessage> {
        let message = |(len, after): &New| NewMessage {
            content: content(*len),
            due: UnixMillis(self.model.now + after),
        };
        new.iter().map(message).collect()
    }

    fn act(&mut self, action: &Action) {
        let (ids, now) = (ids(), self.now());
        match action {
            Action::Send(of, new) => {
                let messages = self.new_messages(new);
                let sent = self.triggers().send(&ids[*of], messages, QUOTA, now);
                let sent = self.runtime.block_on(sent);
                let sent = sent.map_err(|error| refused(&error));
                let expected = if new.is_empty() {
                    Ok(Vec::new())
                } else {
                    self.model.put(*of, new)
                };
                assert_eq!(sent, expected);
            }
            Action::Lease(of, count, bytes, time) => self.lease(*of, *count, *bytes, *time),
            Action::Settle(of, leases, came) => self.settle(*of, leases, *came),
            Action::Pause(of, is_paused) => {
                let set = self.triggers().set_paused(&ids[*of], *is_paused);
                let set = self.runtime.block_on(set).unwrap();
                let was = self.model.standing(*of).is_paused;
                assert_eq!(set, was != *is_paused);
                if set {
                    self.model.lines.entry(*of).or_default().is_paused = *is_paused;
                }
            }
            Action::Fire(of, is_right, runs) => self.fire(*of, *is_right, *runs),
            Action::Revive(of, which) => {
                let asked =
                    which.map(|count| (1..=count as u64).map(MessageId).collect::<Vec<_>>());
                let revived = self.triggers().revive(&ids[*of], asked.clone(), now);
                let revived = self.runtime.block_on(revived).unwrap();
                let line = self.model.lines.get_mut(of);
                let messages = line.into_iter().flat_map(|line| &mut line.messages);
                let dead = messages.filter(|(id, message)| {
                    let is_asked = asked
                        .as_ref()
                        .is_none_or(|asked| asked.contains(&MessageId(**id)));
                    is_asked && message.is_dead()
                });
                let mut count = 0;
                for (_, message) in dead {
                    message.state = State::Waits(now);
                    message.attempts = 0;
                    message.reason = None;
                    count += 1;
                }
                assert_eq!(revived, count);
            }
            Action::Purge(of, which) => {
                let purged = self.triggers().purge(&ids[*of], *which, now);
                let purged = self.runtime.block_on(purged).unwrap();
                let mut count = 0;
                if let Some(line) = self.model.lines.get_mut(of) {
                    let before = line.messages.len();
                    line.messages.retain(|_, message| {
                        message.is_dead() != (*which == Which::Dead) || message.is_leased(now.0)
                    });
                    count = before - line.messages.len();
                }
                assert_eq!(purged as usize, count);
            }
            Action::Sweep(ago) => self.sweep(*ago),
            Action::Remove(app) => {
                let of: &[usize] = [&[0, 1][..], &[2]][*app];
                let id = &ids[of[0]];
                let removed = self.triggers().remove_app(&id.tenant, &id.app);
                let removed = self.runtime.block_on(removed).unwrap();
                let lines: Vec<_> = of
                    .iter()
                    .filter_map(|of| self.model.lines.remove(of))
                    .collect();
                assert_eq!(removed, !lines.is_empty());
                let messages = lines.iter().map(|line| line.messages.len() as u64);
                self.model.removed += messages.sum::<u64>();
            }
            Action::Pass(time) => self.model.now += time,
            Action::Reopen => self.reopen(),
        }
    }

    fn lease(&mut self, of: usize, count_max: u32, bytes_max: usize, time: u64) {
        let until = UnixMillis(self.model.now + time);
        let lease = Lease {
            count_max,
            bytes_max,
            until,
        };
        let (id, now) = (&ids()[of], self.now());
        let leased = self.runtime.block_on(self.triggers().lease(id, lease, now));
        let leased = leased.unwrap();
        let names: Vec<_> = leased.iter().map(|leased| leased.id.0).collect();
        assert_eq!(names, self.model.due(of, count_max, bytes_max));
        for leased in leased {
            let line = self.model.lines.get_mut(&of).unwrap();
            let message = line.messages.get_mut(&leased.id.0).unwrap();
            message.attempts += 1;
            message.state = State::Leased(until);
            message.receipt = Some(leased.receipt);
            assert_eq!(leased.content, content(message.len));
            assert_eq!(
                (leased.sent.0, leased.attempt),
                (message.sent, message.attempts)
            );
            let given = self.model.leases.values().flatten();
            let is_new = given
                .map(|(_, receipt)| receipt)
                .all(|it| *it != leased.receipt);
            assert!(is_new, "a receipt that was given before");
            let of_line = self.model.leases.entry(of).or_default();
            of_line.push((leased.id, leased.receipt));
        }
    }

    fn settle(&mut self, of: usize, which: &[usize], came: Came) {
        let given = self.model.leases.entry(of).or_default();
        let leases = which.iter().filter_map(|back| {
            let place = given.len().checked_sub(back + 1)?;
            given.get(place).copied()
        });
        let leases: Vec<_> = leases.collect();
        let outcome = match came {
            Came::Well => Outcome::Acknowledged,
            Came::Again(after) => Outcome::Again {
                due: UnixMillis(self.model.now + after),
                reason: "again".to_owned(),
            },
            Came::Dead => Outcome::Dead {
                reason: "dead".to_owned(),
            },
            Came::Back => Outcome::Released,
        };
        let settlements = leases.iter().map(|(id, receipt)| Settlement {
            id: *id,
            receipt: *receipt,
            outcome: outcome.clone(),
        });
        let (id, now) = (&ids()[of], self.now());
        let settled = self.triggers().settle(id, settlements.collect(), now);
        let settled = self.runtime.block_on(settled).unwrap();
        let expected = leases
            .into_iter()
            .filter(|lease| self.model.settle(of, *lease, came));
        assert_eq!(settled as usize, expected.count());
    }

    fn fire(&mut self, of: usize, is_right: bool, runs: usize) {
        let (id, now) = (&ids()[of], self.now());
        let line = self.model.lines.get(&of).cloned().unwrap_or_default();
        let from = if is_right {
            line.fired
        } else {
            Some(line.fired.map_or(0, |fired| fired + 1))
        };
        let new = vec![(3, 0); runs];
        let messages = self.new_messages(&new);
        let from = from.map(UnixMillis);
        let fired = self.triggers().fire(id, from, now, messages, QUOTA, now);
        let fired = self.runtime.block_on(fired);
        let fired = fired.map_err(|error| refused(&error));
        let expected = if is_right && !line.is_paused {
            self.model.put(of, &new).map(|_| true)
        } else {
            Ok(false)
        };
        assert_eq!(fired, expected);
        if fired == Ok(true) {
            self.model.lines.entry(of).or_default().fired = Some(now.0);
        }
    }

    fn sweep(&mut self, ago: u64) {
        let before = self.model.now.saturating_sub(ago);
        let mut swept = 0;
        loop {
            let sweep = self.triggers().sweep(UnixMillis(before), 2);
            let sweep = self.runtime.block_on(sweep).unwrap();
            assert!(sweep.messages <= 2);
            swept += u64::from(sweep.messages);
            if !sweep.more {
                break;
            }
        }
        let mut expected = std::mem::take(&mut self.model.removed);
        for line in self.model.lines.values_mut() {
            let kept = line.messages.len();
            line.messages
                .retain(|_, message| !matches!(message.state, State::Dead(at) if at.0 < before));
            expected += (kept - line.messages.len()) as u64;
        }
        // Dead messages of removed apps may have gone with a sweep before.
        assert_eq!(swept, expected);
    }

    /// All that can be read is what the model has.
    fn check(&self) {
        let now = self.now();
        for (of, id) in ids().iter().enumerate() {
            let standing = self.runtime.block_on(self.triggers().standing(id, now));
            assert_eq!(standing.unwrap(), self.model.standing(of));
            let line = self.model.lines.get(&of).cloned().unwrap_or_default();
            let due = line.messages.values().filter_map(Message::due).min();
            let due = due.filter(|_| !line.is_paused).map(UnixMillis);
            let next = self.runtime.block_on(self.triggers().next_due(id, now));
            assert_eq!(next.unwrap(), due);
            let fired = self.runtime.block_on(self.triggers().fired(id)).unwrap();
            assert_eq!(fired, line.fired.map(UnixMillis));
            let kept = self.triggers().kept(&id.tenant, &id.app);
            assert_eq!(self.runtime.block_on(kept).unwrap(), self.model.kept(of));
            for which in [Which::Waiting, Which::Dead] {
                let expected = line
                    .messages
                    .iter()
                    .filter(|(_, message)| message.is_dead() == (which == Which::Dead))
                    .map(|(id, message)| {
                        (
                            *id,
                            Message {
                                receipt: None,
                                ..message.clone()
                            },
                        )
                    });
                assert_eq!(self.list(id, which), expected.collect::<Vec<_>>());
            }
        }
        let apps = self
            .runtime
            .block_on(self.triggers().apps(None, 10))
            .unwrap();
        let mut expected: Vec<_> = self
            .model
            .lines
            .keys()
            .map(|of| ids()[*of].app.clone())
            .collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(
            apps.into_iter().map(|(_, app)| app).collect::<Vec<_>>(),
            expected
        );
    }

    fn list(&self, of: &TriggerId, which: Which) -> Vec<(u64, Message)> {
        let mut messages = Vec::new();
        let mut after = None;
        loop {
            let page = self.triggers().list(of, which, after, 2);
            let page = self.runtime.block_on(page).unwrap();
            for kept in page.messages {
                assert_eq!(kept.content, content(kept.content.body.len()));
                let message = Message {
                    len: kept.content.body.len(),
                    sent: kept.sent.0,
                    attempts: kept.attempts,
                    state: kept.state,
                    receipt: None,
                    reason: kept.reason,
                };
                messages.push((kept.id.0, message));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return messages,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn engine_does_what_maps_of_messages_do(actions in prop::collection::vec(action(), 1..80)) {
        let mut run = Run::new();
        for action in &actions {
            run.act(action);
            run.check();
        }
    }
}
