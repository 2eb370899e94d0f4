//! What the node makes of the body of an operation before it asks or changes anything. Pure: the fuzz target
//! `admin_bodies` stands on it.

use everwarm_api::messages;
use everwarm_api::operations::{self, Operation};
use everwarm_api::problem::Problem;
use everwarm_manifest::AppName;

use super::accounts::{check_token_name, quotas};
use super::cache;
use super::deploys::{header_name, percent, understood};
use super::failure::Failed;
use super::kv;
use super::sent::message;

/// Reads the JSON of an operation as its handler does, as far as that goes without the store. `app` is the name in
/// the path. Operations that take no JSON take none here.
///
/// # Errors
///
/// The problem that its caller would be told.
pub fn understand(operation: &Operation, app: &AppName, body: &[u8]) -> Result<(), Box<Problem>> {
    read(operation, app, body).map_err(Failed::into_problem)
}

fn read(operation: &Operation, app: &AppName, body: &[u8]) -> Result<(), Failed> {
    if operation.id == operations::DEPLOY.id {
        understood(app, message(body)?, None)?;
    } else if operation.id == operations::SET_TRAFFIC.id {
        let sent: messages::SetTraffic = message(body)?;
        sent.percent.map(percent).transpose()?;
        header_name(sent.sticky_header)?;
    } else if operation.id == operations::ROLL_BACK.id {
        message::<messages::Rollback>(body)?;
    } else if operation.id == operations::ROLL_BACK_SECRET.id {
        message::<messages::SecretRollback>(body)?;
    } else if operation.id == operations::PUT_TENANT.id {
        quotas(message(body)?);
    } else if operation.id == operations::MAKE_TOKEN.id {
        let sent: messages::NewToken = message(body)?;
        check_token_name(&sent.name)?;
    } else if operation.id == operations::PURGE_CACHE.id {
        cache::purged(message(body)?)?;
    } else if operation.id == operations::WRITE_VALUES.id {
        kv::values(message(body)?)?;
    } else if [operations::READ_VALUES.id, operations::REMOVE_VALUES.id].contains(&operation.id) {
        kv::keys(&message(body)?)?;
    } else if operation.id == operations::RETRY_MESSAGES.id {
        message::<messages::Retry>(body)?;
    } else {
        return Err(Failed::bad_request("this operation takes no JSON"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use everwarm_api::operations::{ALL, Body};

    use super::*;

    #[test]
    fn every_operation_that_takes_json_is_understood_here() {
        let app = AppName::new("shop").unwrap();
        for operation in ALL {
            let problem = understand(operation, &app, b"not JSON").unwrap_err();
            let is_refused = problem.detail.contains("takes no JSON");
            let takes_json = matches!(operation.request, Body::Json(_));
            assert_eq!(takes_json, !is_refused, "{}: {problem:?}", operation.id);
            assert_eq!(problem.code, "EW5009");
        }
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_sent() {
        let app = AppName::new("shop").unwrap();
        let body = br#"{"manifest": "", "components": {"\u001b[2J": "x"}}"#;
        let problem = understand(&operations::DEPLOY, &app, body).unwrap_err();
        assert!(!problem.detail.contains('\u{1b}'), "{problem:?}");
    }
}
