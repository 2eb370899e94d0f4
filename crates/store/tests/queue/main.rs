//! The embedded engine's queues and schedules: restarts, hand-overs, and faults injected for real into their file.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

mod killed;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use everwarm_manifest::{AppName, QueueName, ScheduleName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::accounts::Accounts as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::{Embedded, OpenError};
use everwarm_store::triggers::{
    BATCH_BYTES_MAX, BODY_BYTES_MAX, Content, Lease, Leased, MessageId, NewMessage, Outcome,
    Receipt, Settlement, Trigger, TriggerError, TriggerId, TriggerQuota, Which,
};
use futures_util::future::join_all;

const NOW: UnixMillis = UnixMillis(1_000);
const PAGE_BYTES: usize = 4_096;

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir).unwrap()
}

fn of(trigger: Trigger) -> TriggerId {
    TriggerId {
        tenant: TenantId::default_tenant(),
        app: AppName::new("shop").unwrap(),
        trigger,
    }
}

fn queue() -> TriggerId {
    of(Trigger::Queue(QueueName::new("orders").unwrap()))
}

fn schedule() -> TriggerId {
    of(Trigger::Schedule(ScheduleName::new("hourly").unwrap()))
}

fn messages(count: usize, len: usize) -> Vec<NewMessage> {
    let message = NewMessage {
        content: Content {
            body: vec![7; len].into(),
            ..Content::default()
        },
        due: NOW,
    };
    vec![message; count]
}

async fn send(store: &Embedded, count: usize, len: usize) -> Result<Vec<MessageId>, TriggerError> {
    let queue = queue();
    let sent = store
        .triggers()
        .send(&queue, messages(count, len), TriggerQuota::NONE, NOW);
    sent.await
}

async fn lease(store: &Embedded, count_max: u32) -> Result<Vec<Leased>, TriggerError> {
    let lease = Lease {
        count_max,
        bytes_max: usize::MAX,
        until: UnixMillis(2_000),
    };
    store.triggers().lease(&queue(), lease, NOW).await
}

async fn acknowledge(store: &Embedded, leased: &[Leased]) -> Result<u32, TriggerError> {
    let settlements = leased.iter().map(|leased| Settlement {
        id: leased.id,
        receipt: leased.receipt,
        outcome: Outcome::Acknowledged,
    });
    let queue = queue();
    let settled = store.triggers().settle(&queue, settlements.collect(), NOW);
    settled.await
}

#[tokio::test]
async fn leases_end_with_the_process_and_what_was_tried_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    send(&store, 3, 10).await.unwrap();
    let before = lease(&store, 2).await.unwrap();
    acknowledge(&store, &before[..1]).await.unwrap();
    drop(store);
    // One file and nothing beside it: the log is written back at the end.
    let names = fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let of_queue = names
        .iter()
        .filter(|name| name.to_string_lossy().starts_with("queue"));
    assert_eq!(of_queue.collect::<Vec<_>>(), ["queue.sqlite"]);

    let store = open(dir.path());
    let leased = lease(&store, 10).await.unwrap();
    let attempts: Vec<_> = leased.iter().map(|leased| leased.attempt).collect();
    assert_eq!(attempts, [2, 1]);
    assert_eq!(leased[0].id, before[1].id);
    // Whoever had it in the process before has no say.
    assert_eq!(acknowledge(&store, &before).await.unwrap(), 0);
    assert_eq!(acknowledge(&store, &leased).await.unwrap(), 2);
}

#[tokio::test]
async fn store_that_was_let_go_gives_no_messages_until_it_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    send(&store, 1, 10).await.unwrap();
    let before = lease(&store, 1).await.unwrap();
    store.let_go();
    let due = store.triggers().next_due(&queue(), NOW).await;
    assert!(matches!(due, Err(TriggerError::Failed { .. })), "{due:?}");
    let sent = send(&store, 1, 10).await;
    assert!(matches!(sent, Err(TriggerError::Failed { .. })), "{sent:?}");
    {
        let other = open(dir.path());
        assert_eq!(lease(&other, 1).await.unwrap()[0].attempt, 2);
    }
    store.take_back().unwrap();
    let leased = lease(&store, 1).await.unwrap();
    assert_eq!(leased[0].attempt, 3);
    assert_ne!(leased[0].receipt, before[0].receipt);
    assert_eq!(acknowledge(&store, &before).await.unwrap(), 0);
    assert_eq!(acknowledge(&store, &leased).await.unwrap(), 1);
}

#[test]
fn queues_of_a_later_release_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = open(dir.path()).data_dir().queue();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let error = Embedded::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), "EW4004");
    let said = error.to_string();
    assert!(
        said.contains("version 2") && said.contains("queue.sqlite"),
        "{said}"
    );
}

#[test]
fn queue_file_that_is_no_database_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = open(dir.path()).data_dir().queue();
    fs::write(&path, "this isn't a database any more".repeat(300)).unwrap();
    let error = Embedded::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), "EW4003");
    assert!(matches!(error, OpenError::Sqlite { .. }));
    assert!(error.to_string().contains("queue.sqlite"), "{error}");
}

/// A store whose queues have garbage in the place of some pages, the first (which is page 1) never among them.
async fn damaged(dir: &Path, pages: impl Fn(usize) -> bool) -> Embedded {
    let path = {
        let store = open(dir);
        for _ in 0..10 {
            send(&store, 100, 400).await.unwrap();
        }
        store.data_dir().queue()
    };
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let count = usize::try_from(file.metadata().unwrap().len()).unwrap() / PAGE_BYTES;
    assert!(count > 60, "{count} pages are no test");
    for page in (1..count).filter(|page| pages(*page)) {
        let offset = u64::try_from(page * PAGE_BYTES).unwrap();
        file.write_all_at(&[0x5a; PAGE_BYTES], offset).unwrap();
    }
    open(dir)
}

#[tokio::test]
async fn queues_whose_pages_are_garbage_are_said_to_be_and_harm_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = damaged(dir.path(), |_| true).await;
    let (triggers, queue) = (store.triggers(), queue());
    let (tenant, app) = (&queue.tenant, &queue.app);
    let runs = messages(1, 10);
    let fire = triggers.fire(&queue, None, NOW, runs, TriggerQuota::NONE, NOW);
    let settlement = Settlement {
        id: MessageId(1),
        receipt: Receipt(1),
        outcome: Outcome::Acknowledged,
    };
    let settled = triggers.settle(&queue, vec![settlement], NOW).await;
    let answers = [
        ("send", send(&store, 1, 10).await.map(|_| ())),
        ("lease", lease(&store, 1).await.map(|_| ())),
        ("settle", settled.map(|_| ())),
        ("due", triggers.next_due(&queue, NOW).await.map(|_| ())),
        ("standing", triggers.standing(&queue, NOW).await.map(|_| ())),
        ("pause", triggers.set_paused(&queue, true).await.map(|_| ())),
        ("fired", triggers.fired(&queue).await.map(|_| ())),
        ("fire", fire.await.map(|_| ())),
        (
            "list",
            triggers
                .list(&queue, Which::Dead, None, 1)
                .await
                .map(|_| ()),
        ),
        (
            "revive",
            triggers.revive(&queue, None, NOW).await.map(|_| ()),
        ),
        (
            "purge",
            triggers.purge(&queue, Which::Dead, NOW).await.map(|_| ()),
        ),
        ("kept", triggers.kept(tenant, app).await.map(|_| ())),
        ("apps", triggers.apps(None, 1).await.map(|_| ())),
        ("remove", triggers.remove_app(tenant, app).await.map(|_| ())),
        ("sweep", triggers.sweep(NOW, 1).await.map(|_| ())),
    ];
    for (what, answer) in answers {
        assert!(
            matches!(answer, Err(TriggerError::Damaged { .. })),
            "{what}: {answer:?}"
        );
    }
    store.tenants(None, 10).await.unwrap();
}

#[tokio::test]
async fn messages_on_sound_pages_are_handled_whatever_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = damaged(dir.path(), |page| page == 45).await;
    let (mut handled, mut broken) = (0, 0);
    let sent = send(&store, 10, 400).await.unwrap();
    assert_eq!(sent.len(), 10);
    for after in (0..1_010).step_by(10) {
        let page = store
            .triggers()
            .list(&queue(), Which::Waiting, Some(MessageId(after)), 10)
            .await;
        match page {
            Ok(_) => handled += 1,
            Err(TriggerError::Damaged { .. }) => broken += 1,
            Err(other) => panic!("{after}: {other:?}"),
        }
    }
    assert!(
        broken > 0 && handled > 50,
        "{handled} read, {broken} broken"
    );
    // Up to the first broken page.
    let mut acknowledged = BTreeSet::new();
    while let Ok(leased) = lease(&store, 10).await
        && !leased.is_empty()
    {
        let (settled, sent) = tokio::join!(acknowledge(&store, &leased), send(&store, 1, 10));
        // What shares a turn with one that comes to the page may be undone with it, and is told so.
        assert!(
            matches!(sent, Ok(_) | Err(TriggerError::Damaged { .. })),
            "{sent:?}"
        );
        if settled.is_ok() {
            acknowledged.extend(leased.iter().map(|leased| leased.id));
        }
    }
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let (queue, lease) = (queue(), lease(&store, 10).await);
    assert!(
        matches!(lease, Err(TriggerError::Damaged { .. })),
        "{lease:?}"
    );
    for after in acknowledged {
        let page = store
            .triggers()
            .list(&queue, Which::Waiting, Some(MessageId(after.0 - 1)), 1);
        let back = page.await.map(|page| page.messages[0].id);
        assert!(back.is_err() || back.is_ok_and(|id| id != after));
    }
}

#[tokio::test]
async fn answers_that_wait_bound_what_leases_hold() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = BATCH_BYTES_MAX / BODY_BYTES_MAX;
    for _ in 0..16 {
        send(&store, batch, BODY_BYTES_MAX).await.unwrap();
    }
    // All are asked for before any is answered.
    let leased = join_all((0..16).map(|_| lease(&store, 100))).await;
    let mut given = 0;
    for leased in leased {
        let leased = leased.unwrap();
        assert!(!leased.is_empty(), "a message is due");
        given += leased.len();
    }
    assert!(given >= 8 * batch, "{given} messages");
    let rest = store.triggers().standing(&queue(), NOW).await.unwrap();
    assert_eq!(rest.due, (16 * batch - given) as u64);
}

#[tokio::test]
async fn handled_messages_give_room_to_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..20 {
        send(&store, 100, 2_000).await.unwrap();
        let leased = lease(&store, 100).await.unwrap();
        assert_eq!(acknowledge(&store, &leased).await.unwrap(), 100);
    }
    let path = store.data_dir().queue();
    drop(store);
    let bytes = fs::metadata(path).unwrap().len();
    // Once what was sent, not twenty times.
    assert!(bytes < 3 * 100 * 3_000, "{bytes} bytes");
}
