//! A process that is killed while it sends and handles: what it was told holds.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// The folder, in the process that is to be killed.
const FOLDER: &str = "EVERWARM_TEST_QUEUE_FOLDER";
const SENT: &str = "was sent ";
const HANDLED: &str = "was handled ";
const FIRED: &str = "was fired ";

fn tell(what: &str, number: u64) {
    println!("\n{what}{number}");
    std::io::stdout().flush().unwrap();
}

/// Sends, handles and fires until it is killed, and says what was acknowledged.
async fn go_on_for_ever(folder: &Path) {
    let store = open(folder);
    let mut last = store.triggers().fired(&schedule()).await.unwrap();
    loop {
        for id in send(&store, 3, 3_000).await.unwrap() {
            tell(SENT, id.0);
        }
        let leased = lease(&store, 2).await.unwrap();
        assert_eq!(acknowledge(&store, &leased).await.unwrap(), 2);
        for leased in leased {
            tell(HANDLED, leased.id.0);
        }
        let next = UnixMillis(last.map_or(0, |last| last.0) + 1);
        let (schedule, runs) = (schedule(), messages(2, 10));
        let none = TriggerQuota::NONE;
        let fired = store
            .triggers()
            .fire(&schedule, last, next, runs, none, NOW);
        assert!(fired.await.unwrap());
        tell(FIRED, next.0);
        last = Some(next);
    }
}

/// The names of all messages that wait.
async fn names(store: &Embedded, of: &TriggerId) -> BTreeSet<u64> {
    let mut names = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.triggers().list(of, Which::Waiting, after, 100).await;
        let page = page.unwrap();
        names.extend(page.messages.iter().map(|kept| kept.id.0));
        after = page.next;
        if after.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn messages_are_kept_and_forgotten_as_was_said_however_often_the_process_is_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return go_on_for_ever(folder.as_ref()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut sent, mut handled, mut fired) = (BTreeSet::new(), BTreeSet::new(), 0);
    for round in 1..=4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--exact"])
            .arg("killed::messages_are_kept_and_forgotten_as_was_said_however_often_the_process_is_killed")
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        // In the middle of a round of its, another one each time.
        for line in said
            .map(Result::unwrap)
            .filter(|line| line.contains("was "))
            .take(23 * usize::try_from(round).unwrap() + 1)
        {
            let number = |what| Some(line.strip_prefix(what)?.parse::<u64>().unwrap());
            sent.extend(number(SENT));
            handled.extend(number(HANDLED));
            fired = number(FIRED).unwrap_or(fired);
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let store = open(dir.path());
        let there = names(&store, &queue()).await;
        let back: Vec<_> = there.intersection(&handled).collect();
        assert!(back.is_empty(), "round {round}: {back:?} came back");
        let stands = store.triggers().standing(&queue(), NOW).await.unwrap();
        assert_eq!((stands.due, stands.leased), (there.len() as u64, 0));
        // It went on after what was read of it.
        let last = store.triggers().fired(&schedule()).await.unwrap();
        let last = last.map_or(0, |last| last.0);
        assert!(last >= fired, "round {round}: {fired} and {last}");
        let runs = names(&store, &schedule()).await.len() as u64;
        assert_eq!(runs, 2 * last, "round {round}");
        // The longest due goes first, two at a time, and at most two each time without that it was fired.
        let gone = there.first().unwrap() - 1;
        assert!(
            (2 * last..=2 * (last + round)).contains(&gone),
            "round {round}: {gone} of {last}"
        );
        let missing: Vec<_> = sent
            .iter()
            .filter(|id| **id > gone && !there.contains(id))
            .collect();
        assert!(
            missing.is_empty(),
            "round {round}: {missing:?} of {there:?} are lost"
        );
        let kept = store.triggers().kept(&queue().tenant, &queue().app).await;
        assert_eq!(kept.unwrap().messages, there.len() as u64 + runs);
    }
    assert!(!handled.is_empty() && fired > 0);
}
