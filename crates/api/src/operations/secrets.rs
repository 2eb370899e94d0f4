//! The operations on secrets of apps, and on the key that seals them.

use http::Method;

use super::{APP, Body, Operation, Parameter, Way, in_path, json, of_node, operation};
use crate::messages::{KeyRotation, Scope, Secret, SecretPage, SecretRollback};

const SECRET: Parameter = in_path("secret", "The secret's name.");

/// List secrets.
pub const LIST_SECRETS: Operation = operation(
    "listSecrets",
    Way(&Method::GET, "/v1/apps/{app}/secrets", Scope::Read),
    "Lists an app's secrets by name, without their values",
    &[APP],
    Body::Nothing,
    json::<SecretPage>(),
);

/// Set a secret.
pub const PUT_SECRET: Operation = operation(
    "putSecret",
    Way(
        &Method::PUT,
        "/v1/apps/{app}/secrets/{secret}",
        Scope::Deploy,
    ),
    "Sets a secret: functions that are granted it get the value from now on. No operation gives it back",
    &[APP, SECRET],
    Body::Other {
        media_type: "application/octet-stream",
        meaning: "the value, 1 to 65536 bytes of UTF-8",
    },
    json::<Secret>(),
);

/// Go back to an earlier value.
pub const ROLL_BACK_SECRET: Operation = operation(
    "rollBackSecret",
    Way(
        &Method::POST,
        "/v1/apps/{app}/secrets/{secret}/rollback",
        Scope::Deploy,
    ),
    "Goes back to the version of a secret before, or to any of the ten that are kept",
    &[APP, SECRET],
    json::<SecretRollback>(),
    json::<Secret>(),
);

/// Remove a secret.
pub const REMOVE_SECRET: Operation = operation(
    "removeSecret",
    Way(
        &Method::DELETE,
        "/v1/apps/{app}/secrets/{secret}",
        Scope::Deploy,
    ),
    "Removes a secret with all its versions",
    &[APP, SECRET],
    Body::Nothing,
    Body::Nothing,
);

/// Another key for secrets.
pub const ROTATE_SECRETS_KEY: Operation = of_node(operation(
    "rotateSecretsKey",
    Way(&Method::POST, "/v1/secrets-key/rotation", Scope::Admin),
    "Seals all secrets of the node anew: with a new key where the node makes its keys itself, else with the first of \
     those that it was given",
    &[],
    Body::Nothing,
    json::<KeyRotation>(),
));
