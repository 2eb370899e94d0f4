//! From what SQLite says to the port's errors. Owns which kind each of its codes is. No message has a path in it.

use rusqlite::{Error, ErrorCode, ffi};

use super::watch::Stop;
use crate::sql::{SqlError, SqlKind, Terms};

/// Bytes that are free on a disk that isn't full: less than this, and a write that found no room found none there.
pub(super) const ROOM_MIN: u64 = 4 << 20;

/// What is known of a statement that failed.
pub(super) struct Context<'a> {
    pub(super) terms: &'a Terms,
    pub(super) stopped: Option<Stop>,
    pub(super) denied: Option<String>,
    /// Whether the disk has no room, as far as is known.
    pub(super) is_disk_full: bool,
}

/// Makes the error of a statement.
pub(super) fn sql_error(error: &Error, context: &Context<'_>) -> SqlError {
    let (code, extended, said) = parts(error);
    let kind_and_message = match code {
        ErrorCode::OperationInterrupted => interrupted(context),
        // A function that is denied is a mistake to SQLite, as a name that isn't there.
        ErrorCode::AuthorizationForStatementDenied | ErrorCode::Unknown
            if context.denied.is_some() =>
        {
            let what = context.denied.as_deref().unwrap_or_default();
            (SqlKind::Denied, format!("it isn't allowed: {what}"))
        }
        ErrorCode::AuthorizationForStatementDenied => (SqlKind::Denied, said),
        ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen
            if context.is_disk_full =>
        {
            disk_full()
        }
        ErrorCode::DiskFull => quota(context.terms),
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => match context.stopped {
            Some(Stop::Left) => interrupted(context),
            _ => waited(context.terms),
        },
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => (SqlKind::Constraint, said),
        ErrorCode::TooBig => (
            SqlKind::TooLarge,
            format!("{said}: it is more than a database here takes"),
        ),
        ErrorCode::OutOfMemory => (
            SqlKind::TooLarge,
            "the statement needs more memory than there is for SQL: make it smaller".to_owned(),
        ),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => damaged(&said),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::InternalMalfunction
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly => (
            SqlKind::Failed,
            "the store failed to use the database's file".to_owned(),
        ),
        _ => (SqlKind::Sql, said),
    };
    let (kind, message) = kind_and_message;
    SqlError {
        code: extended,
        ..SqlError::new(kind, message)
    }
}

/// Makes the error of a statement that was stopped before SQLite had it.
pub(super) fn stop_error(stop: Stop, terms: &Terms) -> SqlError {
    let (kind, message) = match stop {
        Stop::Waiting => waited(terms),
        other => interrupted(&Context {
            terms,
            stopped: Some(other),
            denied: None,
            is_disk_full: false,
        }),
    };
    SqlError::new(kind, message)
}

fn interrupted(context: &Context<'_>) -> (SqlKind, String) {
    match context.stopped {
        Some(Stop::Running) => (
            SqlKind::TimeOut,
            format!(
                "the statement ran for {} ms, which is its limit: use an index, or do less in one",
                context.terms.running_max.as_millis()
            ),
        ),
        Some(Stop::Written) => (
            SqlKind::TooLarge,
            "the statement wrote more to files while it ran than it may: sort, group or change less in one"
                .to_owned(),
        ),
        Some(Stop::Waiting) => waited(context.terms),
        Some(Stop::Left) | None => (
            SqlKind::Interrupted,
            "the statement was ended, for its caller has left".to_owned(),
        ),
    }
}

fn waited(terms: &Terms) -> (SqlKind, String) {
    let message = format!(
        "the statement waited for others for {} ms, which is its limit: try again, and keep transactions short",
        terms.waiting_max.as_millis()
    );
    (SqlKind::Busy, message)
}

fn quota(terms: &Terms) -> (SqlKind, String) {
    let message = format!(
        "the database would have more than {} bytes, which is its quota: delete some, or ask for a larger quota",
        terms.bytes_max
    );
    (SqlKind::Quota, message)
}

fn disk_full() -> (SqlKind, String) {
    let message = "the store's disk is full: make room on it; what is kept can still be read";
    (SqlKind::DiskFull, message.to_owned())
}

fn damaged(said: &str) -> (SqlKind, String) {
    let message =
        format!("the database is damaged ({said}): check the disk, and restore from a backup");
    (SqlKind::Damaged, message)
}

/// Makes the error of a file that can't be opened. What it was is told to the log alone: it may have paths in it.
pub(super) fn open_error(error: &super::OpenError, terms: &Terms, is_disk_full: bool) -> SqlError {
    let super::OpenError::Sqlite { source, .. } = error else {
        let (kind, message) = if is_disk_full {
            disk_full()
        } else {
            (
                SqlKind::Failed,
                "the store failed to open the database".to_owned(),
            )
        };
        return SqlError::new(kind, message);
    };
    let context = Context {
        terms,
        stopped: None,
        denied: None,
        is_disk_full,
    };
    let told = sql_error(source, &context);
    match told.kind {
        SqlKind::Sql => SqlError {
            message: "the store failed to open the database".to_owned(),
            kind: SqlKind::Failed,
            ..told
        },
        _ => told,
    }
}

fn parts(error: &Error) -> (ErrorCode, Option<i32>, String) {
    match error {
        Error::SqliteFailure(code, said) => {
            let text = || ffi::code_to_str(code.extended_code).to_owned();
            let said = said.clone().unwrap_or_else(text);
            (code.code, Some(code.extended_code), said)
        }
        Error::SqlInputError {
            error, msg, offset, ..
        } => {
            let said = match offset {
                0.. => format!("{msg} (at byte {offset} of the statement)"),
                _ => msg.clone(),
            };
            (error.code, Some(error.extended_code), said)
        }
        Error::MultipleStatement => {
            let said = "there is more than one statement: send each on its own, or as a batch";
            (ErrorCode::Unknown, None, said.to_owned())
        }
        // Parameters and the like, whose texts are of what the guest has sent.
        other => (ErrorCode::Unknown, None, other.to_string()),
    }
}

/// Whether SQLite may have found no room.
pub(super) fn may_be_full(error: &Error) -> bool {
    matches!(
        parts(error).0,
        ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen
    )
}
