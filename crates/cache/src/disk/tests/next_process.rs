//! What the next process has of what is on the disk: what this one knew of when it ended, and nothing that was purged.

use super::*;

#[test]
fn next_process_has_what_was_not_purged_and_no_more() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    let other = kept.place("two", "a");
    for target in ["/stays", "/goes"] {
        kept.keep(&one, target, entry(9_000, target));
    }
    kept.keep(&other, "/forgotten", entry(9_000, "tag"));
    kept.press_out(&one, &["/stays", "/goes"]);
    kept.press_out(&other, &["/forgotten"]);
    assert!(kept.has(&one, "/goes") && kept.has(&other, "/forgotten"));
    let (_, removal) = kept.store.purge(one.app(), &Purge::Tag("/goes"));
    assert!(removal.wait());
    let (tenant, app) = (
        "two".parse().expect("a tenant"),
        AppName::new("a").expect("a name"),
    );
    assert!(kept.store.forget_app(&tenant, &app).wait());
    let kept = kept.again();
    let one = kept.place("one", "a");
    assert!(kept.has(&one, "/stays") && !kept.has(&one, "/goes"));
    assert!(!kept.has(&kept.place("two", "a"), "/forgotten"));
    let read = kept
        .read(&one, "/stays")
        .expect("it is there")
        .expect("it is right");
    assert!(read.freshness.age(Instant::now()) < Duration::from_mins(1));
    let count = kept.files().len() as u64;
    let counted: u64 = APPS
        .iter()
        .map(|(tenant, app)| kept.place(tenant, app).app().usage().disk_entries)
        .sum();
    assert_eq!(count, counted);
}

#[test]
fn another_run_of_the_machine_or_a_copy_begins_with_nothing() {
    for change in [
        (|root: &Path| fs::write(root.join("run"), "1 another 1 1\n").expect("it is written"))
            as fn(&Path),
        |root| fs::remove_file(root.join("run")).expect("it is there"),
        |root| {
            let beside = root.with_extension("beside");
            fs::create_dir(&beside).expect("it is made");
            let move_all = |from: &Path, to: &Path| {
                for entry in fs::read_dir(from).expect("it is there").flatten() {
                    fs::rename(entry.path(), to.join(entry.file_name())).expect("it moves");
                }
            };
            move_all(root, &beside);
            // It may have the same inode again, and was made at another tick of the clock then.
            let made = || fs::metadata(root).and_then(|root| root.created()).ok();
            let before = made();
            loop {
                fs::remove_dir(root).expect("it is empty");
                fs::create_dir(root).expect("it is made");
                if before.is_none() || made() != before {
                    break;
                }
            }
            move_all(&beside, root);
        },
    ] {
        let kept = Kept::new();
        let one = kept.place("one", "a");
        kept.keep(&one, "/", entry(9_000, "tag"));
        kept.press_out(&one, &["/"]);
        kept.store.close_disk();
        change(&kept.root());
        let kept = kept.again();
        assert!(!kept.has(&kept.place("one", "a"), "/"));
        assert_eq!(kept.files(), Vec::<PathBuf>::new());
    }
}

#[test]
fn who_takes_over_from_a_process_that_serves_on_begins_with_nothing() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    kept.keep(&one, "/", entry(9_000, "tag"));
    kept.press_out(&one, &["/"]);
    kept.store.give_disk_up().expect("it is given up");
    assert!(!kept.files().is_empty() && !kept.has(&one, "/"));
    let kept = kept.again();
    assert!(!kept.has(&kept.place("one", "a"), "/"));
    assert_eq!(kept.files(), Vec::<PathBuf>::new());
    assert!(kept.run().exists());
}

#[test]
fn while_the_folder_is_looked_through_it_is_none_for_another_process() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    kept.keep(&one, "/", entry(9_000, "tag"));
    kept.press_out(&one, &["/"]);
    kept.store.close_disk();
    assert!(kept.run().exists());
    // Whoever opens it waits for whoever writes into it.
    let waits = Place::folder(&kept.root(), one.app().id()).join("1");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &waits, kind, mode, 0).expect("it is made");
    kept.open();
    let deadline = Instant::now() + Duration::from_secs(30);
    while kept.run().exists() {
        assert!(Instant::now() < deadline, "it may be taken up");
        std::thread::yield_now();
    }
    fs::write(&waits, b"").expect("somebody reads it");
    kept.settle();
    assert!(kept.run().exists() && !waits.exists());
    assert!(kept.has(&one, "/"));
}

#[test]
fn folder_that_can_not_be_looked_through_is_none_for_the_next_process() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    kept.keep(&one, "/", entry(9_000, "tag"));
    kept.press_out(&one, &["/"]);
    kept.store.close_disk();
    // No folder of an app that is known.
    let other = kept.place("one", "b").app().id();
    fs::write(Place::folder(&kept.root(), other), "").expect("it is written");
    let kept = kept.again();
    assert!(!kept.run().exists());
    let kept = kept.again();
    assert!(!kept.has(&kept.place("one", "a"), "/"));
    assert_eq!(kept.files(), Vec::<PathBuf>::new());
    assert!(kept.run().exists());
}

#[test]
fn app_that_is_purged_before_the_folder_is_taken_up_has_nothing_of_it() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    kept.keep(&one, "/", entry(9_000, "tag"));
    kept.press_out(&one, &["/"]);
    kept.store.close_disk();
    let (_, removal) = kept.store.purge(one.app(), &Purge::All);
    assert!(removal.wait());
    kept.open();
    kept.settle();
    assert!(!kept.has(&one, "/"));
    assert_eq!(kept.files(), Vec::<PathBuf>::new());
}
