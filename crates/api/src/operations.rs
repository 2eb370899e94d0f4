//! Every operation of the admin API, once: its method, path, scope and what it takes and gives.
//!
//! The node's router, the client and the OpenAPI document are made of this list. Paths are templates as axum and
//! OpenAPI have them.

mod blobs;
mod cache;
mod kv;
mod secrets;
mod triggers;

use http::Method;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::messages::{
    App, AppPage, AuditPage, Deploy, Deployed, Identity, LogPage, NewToken, Quotas, Rollback,
    Scope, SecretToken, SetTraffic, Tenant, TenantPage, TokenPage, Traffic, UsagePage, VersionPage,
};

pub use blobs::*;
pub use cache::*;
pub use kv::{
    EXPIRES_HEADER, GET_VALUE, LIST_KEYS, PUT_VALUE, READ_VALUES, REMOVE_VALUE, REMOVE_VALUES,
    REVISION_HEADER, WRITE_VALUES,
};
pub use secrets::*;
pub use triggers::*;

/// The field that says for which tenant a token of the node acts. Absent: the default tenant.
pub const TENANT_HEADER: &str = "everwarm-tenant";
/// The field with the key of a deploy (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// What kind of body an operation has.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// None.
    Nothing,
    /// The bytes of a component or of a bundle.
    Bytes,
    /// Anything else.
    Other {
        /// Its media type.
        media_type: &'static str,
        /// What it is.
        meaning: &'static str,
    },
    /// JSON of a type.
    Json(TypeSchema),
}

/// Names a type for the document.
#[derive(Debug, Clone, Copy)]
pub struct TypeSchema {
    /// Its name.
    pub name: fn() -> std::borrow::Cow<'static, str>,
    /// Its own schema.
    pub schema: fn() -> RefOr<Schema>,
    /// The schemas that it refers to.
    pub collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

const fn json<T: ToSchema>() -> Body {
    Body::Json(TypeSchema {
        name: T::name,
        schema: T::schema,
        collect: T::schemas,
    })
}

/// Where a parameter is sent. Only those of the path are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
}

impl Place {
    /// The word for it in OpenAPI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it is sent.
    pub place: Place,
    /// What it means.
    pub meaning: &'static str,
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name in the document.
    pub id: &'static str,
    /// Its method.
    pub method: &'static Method,
    /// Its path, a template.
    pub path: &'static str,
    /// What a token needs.
    pub scope: Scope,
    /// Whether it needs a token of the node itself.
    pub node_only: bool,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it takes besides the body.
    pub parameters: &'static [Parameter],
    /// What it takes.
    pub request: Body,
    /// What it gives.
    pub response: Body,
}

const APP: Parameter = in_path("app", "The app's name.");
const LIMIT: Parameter = in_query("limit", "How many to list at most.");
const AFTER: Parameter = in_query("after", "The `next` of the page before.");
const BEFORE: Parameter = in_query("before", "The `next` of the page before.");

const fn in_path(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Path,
        meaning,
    }
}

const fn in_query(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Query,
        meaning,
    }
}

/// Which method a path has, and what a token needs for it.
#[derive(Clone, Copy)]
struct Way(&'static Method, &'static str, Scope);

const fn operation(
    id: &'static str,
    way: Way,
    summary: &'static str,
    parameters: &'static [Parameter],
    request: Body,
    response: Body,
) -> Operation {
    let Way(method, path, scope) = way;
    Operation {
        id,
        method,
        path,
        scope,
        node_only: false,
        summary,
        parameters,
        request,
        response,
    }
}

const fn of_node(operation: Operation) -> Operation {
    Operation {
        node_only: true,
        ..operation
    }
}

/// Who am I?
pub const WHO_AM_I: Operation = operation(
    "whoAmI",
    Way(&Method::GET, "/v1/whoami", Scope::Read),
    "Tells whom the node takes the caller for",
    &[],
    Body::Nothing,
    json::<Identity>(),
);

/// Is a component there?
pub const HAS_COMPONENT: Operation = operation(
    "hasComponent",
    Way(&Method::HEAD, "/v1/components/{digest}", Scope::Deploy),
    "Tells whether a component is there, so that it needn't be uploaded (204, or 404)",
    &[in_path("digest", "`sha256:` and 64 hexadecimal digits.")],
    Body::Nothing,
    Body::Nothing,
);

/// Upload a component.
pub const PUT_COMPONENT: Operation = operation(
    "putComponent",
    Way(&Method::PUT, "/v1/components/{digest}", Scope::Deploy),
    "Uploads a component, whose bytes must have that digest",
    &[in_path("digest", "`sha256:` and 64 hexadecimal digits.")],
    Body::Bytes,
    Body::Nothing,
);

/// Is a bundle of assets there?
pub const HAS_ASSETS: Operation = operation(
    "hasAssets",
    Way(&Method::HEAD, "/v1/assets/{digest}", Scope::Deploy),
    "Tells whether a bundle of assets is there, so that it needn't be uploaded (204, or 404)",
    &[in_path("digest", "`sha256:` and 64 hexadecimal digits.")],
    Body::Nothing,
    Body::Nothing,
);

/// Upload a bundle of assets.
pub const PUT_ASSETS: Operation = operation(
    "putAssets",
    Way(&Method::PUT, "/v1/assets/{digest}", Scope::Deploy),
    "Uploads a bundle of assets, whose bytes must have that digest. What is in it is looked at when it is deployed",
    &[in_path("digest", "`sha256:` and 64 hexadecimal digits.")],
    Body::Bytes,
    Body::Nothing,
);

/// List apps.
pub const LIST_APPS: Operation = operation(
    "listApps",
    Way(&Method::GET, "/v1/apps", Scope::Read),
    "Lists a tenant's apps by name",
    &[AFTER, LIMIT],
    Body::Nothing,
    json::<AppPage>(),
);

/// One app.
pub const GET_APP: Operation = operation(
    "getApp",
    Way(&Method::GET, "/v1/apps/{app}", Scope::Read),
    "Tells of one app",
    &[APP],
    Body::Nothing,
    json::<App>(),
);

/// Remove an app.
pub const REMOVE_APP: Operation = operation(
    "removeApp",
    Way(&Method::DELETE, "/v1/apps/{app}", Scope::Deploy),
    "Removes an app with all its versions and its key-value data, and frees its hosts",
    &[APP],
    Body::Nothing,
    Body::Nothing,
);

/// List versions.
pub const LIST_VERSIONS: Operation = operation(
    "listVersions",
    Way(&Method::GET, "/v1/apps/{app}/versions", Scope::Read),
    "Lists an app's versions, newest first",
    &[APP, BEFORE, LIMIT],
    Body::Nothing,
    json::<VersionPage>(),
);

/// What functions printed.
pub const GET_LOGS: Operation = operation(
    "getLogs",
    Way(&Method::GET, "/v1/apps/{app}/logs", Scope::Read),
    "Tells what an app's functions printed lately on this node, and the access lines of their requests",
    &[
        APP,
        in_query(
            "after",
            "The `next` of the page before. Absent: the newest lines.",
        ),
        LIMIT,
        in_query(
            "version",
            "Lines of this version alone, or of those whose digest begins so.",
        ),
        in_query("function", "Lines of this function alone."),
        in_query(
            "since",
            "Lines from this time on, in milliseconds since 1970.",
        ),
        in_query(
            "wait",
            "Seconds to wait for a line where there is none, 30 at most.",
        ),
    ],
    Body::Nothing,
    json::<LogPage>(),
);

/// Deploy.
pub const DEPLOY: Operation = operation(
    "deploy",
    Way(&Method::POST, "/v1/apps/{app}/versions", Scope::Deploy),
    "Deploys a version whose components and assets have been uploaded. The same content is the same version",
    &[
        APP,
        Parameter {
            name: IDEMPOTENCY_HEADER,
            place: Place::Header,
            meaning: "Made by the sender for this deploy, 1 to 128 visible ASCII characters. Sent again within a day, the deploy isn't done again: what came of it is told, without stages.",
        },
    ],
    json::<Deploy>(),
    json::<Deployed>(),
);

/// Promote.
pub const SET_TRAFFIC: Operation = operation(
    "setTraffic",
    Way(&Method::PUT, "/v1/apps/{app}/traffic", Scope::Deploy),
    "Gives a version all requests of its app, or a part of them",
    &[APP],
    json::<SetTraffic>(),
    json::<Traffic>(),
);

/// Roll back.
pub const ROLL_BACK: Operation = operation(
    "rollBack",
    Way(&Method::POST, "/v1/apps/{app}/rollback", Scope::Deploy),
    "Goes back to what served before. Nothing is built or compiled",
    &[APP],
    json::<Rollback>(),
    json::<Traffic>(),
);

/// List tenants.
pub const LIST_TENANTS: Operation = of_node(operation(
    "listTenants",
    Way(&Method::GET, "/v1/tenants", Scope::Read),
    "Lists the tenants by name",
    &[AFTER, LIMIT],
    Body::Nothing,
    json::<TenantPage>(),
));

/// Make a tenant.
pub const PUT_TENANT: Operation = of_node(operation(
    "putTenant",
    Way(&Method::PUT, "/v1/tenants/{tenant}", Scope::Admin),
    "Makes a tenant, or changes its quotas",
    &[in_path("tenant", "The tenant's name.")],
    json::<Quotas>(),
    json::<Tenant>(),
));

/// Remove a tenant.
pub const REMOVE_TENANT: Operation = of_node(operation(
    "removeTenant",
    Way(&Method::DELETE, "/v1/tenants/{tenant}", Scope::Admin),
    "Removes a tenant without apps, with its tokens",
    &[in_path("tenant", "The tenant's name.")],
    Body::Nothing,
    Body::Nothing,
));

/// List tokens.
pub const LIST_TOKENS: Operation = operation(
    "listTokens",
    Way(&Method::GET, "/v1/tokens", Scope::Admin),
    "Lists the tokens of the tenant, or with `of_node=true` of the node",
    &[in_query("of_node", "Whether the node's own are meant.")],
    Body::Nothing,
    json::<TokenPage>(),
);

/// Make a token.
pub const MAKE_TOKEN: Operation = operation(
    "makeToken",
    Way(&Method::POST, "/v1/tokens", Scope::Admin),
    "Makes a token and says its secret, this once",
    &[],
    json::<NewToken>(),
    json::<SecretToken>(),
);

/// Revoke a token.
pub const REMOVE_TOKEN: Operation = operation(
    "removeToken",
    Way(&Method::DELETE, "/v1/tokens/{token}", Scope::Admin),
    "Revokes a token, at once",
    &[
        in_path("token", "The token's public name."),
        in_query("of_node", "Whether it is the node's own."),
    ],
    Body::Nothing,
    Body::Nothing,
);

/// Who changed what?
pub const LIST_AUDIT: Operation = operation(
    "listAudit",
    Way(&Method::GET, "/v1/audit", Scope::Admin),
    "Lists who changed what of the tenant, newest first; with `of_node=true` of all tenants",
    &[
        in_query("of_node", "Whether all tenants are meant."),
        BEFORE,
        LIMIT,
    ],
    Body::Nothing,
    json::<AuditPage>(),
);

/// Usage.
pub const GET_USAGE: Operation = operation(
    "getUsage",
    Way(&Method::GET, "/v1/usage", Scope::Read),
    "Tells what functions used by the hour; with `of_node=true` those of all tenants. CSV with `accept: text/csv`",
    &[
        in_query("of_node", "Whether all tenants are meant."),
        in_query(
            "from",
            "The first hour, in seconds since 1970. Absent: 24 hours ago.",
        ),
        in_query(
            "until",
            "The hour after the last, in seconds since 1970. Absent: the current one is the last.",
        ),
    ],
    Body::Nothing,
    json::<UsagePage>(),
);

/// Metrics.
pub const GET_METRICS: Operation = of_node(operation(
    "getMetrics",
    Way(&Method::GET, "/metrics", Scope::Read),
    "Tells what the node has counted, for Prometheus",
    &[],
    Body::Nothing,
    Body::Other {
        media_type: "application/openmetrics-text",
        meaning: "OpenMetrics text",
    },
));

/// A backup.
pub const BACK_UP: Operation = of_node(operation(
    "backUp",
    Way(&Method::GET, "/v1/backup", Scope::Admin),
    "Gives a consistent copy of all that the node keeps, while it goes on serving. One that breaks off is none",
    &[],
    Body::Nothing,
    Body::Other {
        media_type: "application/x-tar",
        meaning: "a tar archive for `everwarm restore`",
    },
));

/// All operations.
pub const ALL: &[&Operation] = &[
    &WHO_AM_I,
    &HAS_COMPONENT,
    &PUT_COMPONENT,
    &HAS_ASSETS,
    &PUT_ASSETS,
    &LIST_APPS,
    &GET_APP,
    &REMOVE_APP,
    &LIST_VERSIONS,
    &GET_LOGS,
    &DEPLOY,
    &SET_TRAFFIC,
    &ROLL_BACK,
    &GET_CACHE,
    &PURGE_CACHE,
    &LIST_SECRETS,
    &PUT_SECRET,
    &ROLL_BACK_SECRET,
    &REMOVE_SECRET,
    &ROTATE_SECRETS_KEY,
    &LIST_TENANTS,
    &PUT_TENANT,
    &REMOVE_TENANT,
    &LIST_TOKENS,
    &MAKE_TOKEN,
    &REMOVE_TOKEN,
    &LIST_AUDIT,
    &GET_USAGE,
    &GET_METRICS,
    &BACK_UP,
    &GET_VALUE,
    &PUT_VALUE,
    &REMOVE_VALUE,
    &LIST_KEYS,
    &READ_VALUES,
    &WRITE_VALUES,
    &REMOVE_VALUES,
    &LIST_TRIGGERS,
    &LIST_MESSAGES,
    &SEND_MESSAGE,
    &PURGE_MESSAGES,
    &RETRY_MESSAGES,
    &PAUSE_TRIGGER,
    &RESUME_TRIGGER,
    &LIST_BLOBS,
    &HEAD_BLOB,
    &GET_BLOB,
    &PUT_BLOB,
    &REMOVE_BLOB,
];
