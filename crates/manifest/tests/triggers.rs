//! Queues and schedules: declared with what they call, and each mistake told where it stands.

use everwarm_manifest::triggers::{Missed, Overlap, QUEUES_MAX};
use everwarm_manifest::{App, Diagnostic, ErrorCode};

fn parse(declared: &str, granted: &str) -> Result<App, Vec<Diagnostic>> {
    let text = format!(
        "name = \"shop\"\n{declared}\n[[function]]\nname = \"worker\"\n[function.grants]\nqueues = {granted}\n"
    );
    App::parse(&text, "everwarm.toml").map_err(|errors| errors.iter().cloned().collect())
}

fn only(declared: &str, granted: &str) -> Diagnostic {
    let mut errors = parse(declared, granted).expect_err("it is wrong");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

const MAILS: &str = "[[queue]]\nname = \"mails\"\nfunction = \"worker\"";
const NIGHTLY: &str =
    "[[schedule]]\nname = \"nightly\"\nfunction = \"worker\"\ncron = \"0 3 * * *\"";

#[test]
fn queue_and_schedule_have_defaults_and_are_written_as_they_were_read() {
    let app = parse(&format!("{MAILS}\n{NIGHTLY}"), "[\"mails\"]").expect("it is valid");
    let queue = &app.queues[0];
    assert_eq!(queue.path.as_str(), "/queues/mails");
    assert_eq!((queue.batch.get(), queue.concurrency.get()), (1, 4));
    assert_eq!(queue.attempts.get(), 5);
    let schedule = &app.schedules[0];
    assert_eq!(schedule.path.as_str(), "/schedules/nightly");
    assert!(schedule.zone.is_utc());
    assert_eq!(
        (schedule.overlap, schedule.missed),
        (Overlap::Skip, Missed::Once)
    );
    let again = app.to_toml().expect("it has a TOML form");
    assert_eq!(App::parse(&again, "again.toml").expect("it is valid"), app);
}

#[test]
fn everything_may_be_chosen() {
    let queue = format!(
        "{MAILS}\npath = \"/jobs\"\nbatch = 10\nbatch_wait = \"5s\"\nconcurrency = 2\nvisibility = \"2m\"\nattempts = 3\nbackoff = \"2s\"\nbackoff_max = \"1h\""
    );
    let schedule = format!(
        "{NIGHTLY}\npath = \"/n\"\nzone = \"Europe/Vienna\"\njitter = \"30s\"\noverlap = \"allow\"\nmissed = \"all\"\nvisibility = \"2m\"\nattempts = 1\nbackoff = \"0s\"\nbackoff_max = \"0s\""
    );
    let app = parse(&format!("{queue}\n{schedule}"), "[]").expect("it is valid");
    assert_eq!(app.queues[0].batch.get(), 10);
    assert_eq!(app.schedules[0].zone.as_str(), "Europe/Vienna");
    let again = app.to_toml().expect("it has a TOML form");
    assert_eq!(App::parse(&again, "again.toml").expect("it is valid"), app);
}

/// Checks that each of these has one mistake, and what is said of it.
fn are_told(mistakes: &[(&str, ErrorCode, &str)]) {
    for (declared, code, said) in mistakes {
        let diagnostic = only(declared, "[]");
        assert_eq!(diagnostic.code, *code, "{declared}");
        assert!(
            diagnostic.message.contains(said),
            "{declared}: {}",
            diagnostic.message
        );
    }
}

#[test]
fn mistakes_of_queues_are_told_where_they_stand() {
    are_told(&[
        (
            "queue = [1]",
            ErrorCode::InvalidValue,
            "must be an array of tables",
        ),
        (
            "[queue]",
            ErrorCode::InvalidValue,
            "must be an array of tables",
        ),
        (
            "[[queue]]\nfunction = \"worker\"",
            ErrorCode::MissingKey,
            "this queue has no name",
        ),
        (
            "[[queue]]\nname = \"mails\"",
            ErrorCode::MissingKey,
            "missing key `function`",
        ),
        (
            "[[queue]]\nname = \"My Mails\"\nfunction = \"worker\"",
            ErrorCode::BadName,
            "is no name",
        ),
        (
            "[[queue]]\nname = \"mails\"\nfunction = \"werker\"",
            ErrorCode::InvalidValue,
            "the app has no function `werker`",
        ),
        (
            &format!("{MAILS}\nbatch = 0"),
            ErrorCode::LimitOutOfRange,
            "must be from 1 to 100",
        ),
        (
            &format!("{MAILS}\nbatch_wait = 5"),
            ErrorCode::InvalidValue,
            "needs a unit",
        ),
        (
            &format!("{MAILS}\npath = \"jobs\""),
            ErrorCode::InvalidValue,
            "begins with `/`",
        ),
        (
            &format!("{MAILS}\nvisibility = \"0s\""),
            ErrorCode::LimitOutOfRange,
            "must be from",
        ),
        (
            &format!("{MAILS}\nbackoff = \"10m\""),
            ErrorCode::InvalidValue,
            "`backoff` is 10m, and `backoff_max` is 5m, which is less",
        ),
        (
            &format!("{MAILS}\ncron = \"* * * * *\""),
            ErrorCode::UnknownKey,
            "unknown key `cron`",
        ),
        (
            &format!("{MAILS}\n{MAILS}"),
            ErrorCode::InvalidValue,
            "line 3 is already called `mails`",
        ),
    ]);
}

#[test]
fn mistakes_of_schedules_are_told_where_they_stand() {
    are_told(&[
        (
            "[[schedule]]\nname = \"n\"\nfunction = \"worker\"",
            ErrorCode::MissingKey,
            "missing key `cron`",
        ),
        (
            "[[schedule]]\nname = \"n\"\nfunction = \"worker\"\ncron = \"61 * * * *\"",
            ErrorCode::InvalidValue,
            "`61 * * * *` is no cron line",
        ),
        (
            "[[schedule]]\nname = \"n\"\nfunction = \"worker\"\ncron = \"0 0 30 2 *\"",
            ErrorCode::InvalidValue,
            "`0 0 30 2 *` is never due",
        ),
        (
            &format!("{NIGHTLY}\nzone = \"Vienna\""),
            ErrorCode::InvalidValue,
            "there is no such time zone",
        ),
        (
            &format!("{NIGHTLY}\noverlap = \"queue\""),
            ErrorCode::InvalidValue,
            "`overlap` can't be `queue`",
        ),
    ]);
}

#[test]
fn nearest_is_proposed() {
    let suggested = |declared: &str, granted: &str| only(declared, granted).suggestion;
    assert_eq!(suggested(MAILS, "[\"mail\"]").as_deref(), Some("mails"));
    let zone = format!("{NIGHTLY}\nzone = \"Vienna\"");
    assert_eq!(suggested(&zone, "[]").as_deref(), Some("Europe/Vienna"));
    let path = format!("{MAILS}\npath = \"jobs\"");
    assert_eq!(suggested(&path, "[]").as_deref(), Some("/jobs"));
    let function = MAILS.replace("worker", "wroker");
    assert_eq!(suggested(&function, "[]").as_deref(), Some("worker"));
}

#[test]
fn queue_that_is_granted_is_declared() {
    let diagnostic = only("", "[\"mails\"]");
    assert_eq!(diagnostic.code, ErrorCode::BadGrant);
    assert_eq!(diagnostic.message, "the app has no queue `mails`");
    let help = diagnostic.help.expect("what to do");
    assert!(help.contains("`[[queue]]`"), "{help}");
}

#[test]
fn function_without_routes_may_be_called_by_a_queue_or_a_schedule_alone() {
    for trigger in [MAILS, NIGHTLY] {
        let text =
            format!("name = \"shop\"\n{trigger}\n[[function]]\nname = \"worker\"\nroutes = []\n");
        let app = App::parse(&text, "everwarm.toml").expect("it is reached");
        assert!(app.functions[0].routes.is_empty());
    }
}

#[test]
fn more_queues_than_there_may_be_are_refused() {
    use std::fmt::Write as _;
    let mut declared = String::new();
    for number in 0..=QUEUES_MAX {
        writeln!(
            declared,
            "[[queue]]\nname = \"q{number}\"\nfunction = \"worker\""
        )
        .expect("text takes all");
    }
    let diagnostic = only(&declared, "[]");
    assert_eq!(diagnostic.code, ErrorCode::TooLarge);
    assert!(
        diagnostic.message.contains("50 queues"),
        "{}",
        diagnostic.message
    );
}
