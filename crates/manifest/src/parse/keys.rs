//! Every key of a manifest, in one place: the parser refuses what isn't here, and the schema and the
//! reference in `docs/manifest.md` are checked against it.

/// One table of the manifest and its keys.
#[derive(Debug)]
pub(crate) struct Table {
    /// As the user writes its header; empty for the top level.
    pub(crate) header: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A key and what it is for, in a sentence that editors show.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

const fn key(name: &'static str, about: &'static str) -> Key {
    Key { name, about }
}

pub(crate) const ROOT: Table = Table {
    header: "",
    keys: &[
        key(
            "name",
            "The app's name: a DNS label. It is the first label of the app's own host.",
        ),
        key("build", "How components are built from source."),
        key("sql", "The app's SQL databases."),
        key("redis", "The app's Redis servers."),
        key("blobs", "The app's containers of blobs."),
        key(
            "function",
            "The app's functions, at least one unless it has assets.",
        ),
        key(
            "assets",
            "Folders of files that are served without a function.",
        ),
        key(
            "queue",
            "The app's queues: messages that wait until a function has handled them.",
        ),
        key(
            "schedule",
            "The app's schedules: when a function is called by the clock.",
        ),
    ],
};

pub(crate) const BUILD: Table = Table {
    header: "[build]",
    keys: &[
        key(
            "command",
            "Replaces cargo: run through `sh -c` in the manifest's folder.",
        ),
        key(
            "package",
            "The cargo package to build, when the manifest's folder is a workspace.",
        ),
        key(
            "watch",
            "Paths that `everwarm up` watches besides the package's own.",
        ),
    ],
};

pub(crate) const SQL: Table = Table {
    header: "[[sql]]",
    keys: &[
        key(
            "name",
            "The database's name: a DNS label, unique in the app.",
        ),
        key(
            "migrations",
            "The folder of its migrations, which a deploy applies: files called `0001_name.sql`.",
        ),
        key(
            "url",
            "The Postgres server that has it: `postgres://user@host[:port]/database`. Without it the node keeps the database.",
        ),
        key(
            "password",
            "The secret of the app that is the password there.",
        ),
    ],
};

pub(crate) const BLOBS: Table = Table {
    header: "[[blobs]]",
    keys: &[key(
        "name",
        "The container's name: a DNS label, unique among containers.",
    )],
};

pub(crate) const REDIS: Table = Table {
    header: "[[redis]]",
    keys: &[
        key("name", "The server's name: a DNS label, unique in the app."),
        key(
            "url",
            "Where it is: `rediss://[user@]host[:port][/database]`, or `redis://` without TLS.",
        ),
        key(
            "password",
            "The secret of the app that is the password there.",
        ),
    ],
};

const ATTEMPTS: Key = key(
    "attempts",
    "How often a message is delivered before it is dead.",
);
const BACKOFF: Key = key(
    "backoff",
    "How long a message waits after its first attempt; twice as long after each later one.",
);
const BACKOFF_MAX: Key = key(
    "backoff_max",
    "How long a message waits at most between two attempts.",
);
const CALLED: Key = key("function", "The function that is called.");
const VISIBILITY: Key = key(
    "visibility",
    "How long a call may take before its messages are given to another.",
);

pub(crate) const QUEUE: Table = Table {
    header: "[[queue]]",
    keys: &[
        key(
            "name",
            "The queue's name: a DNS label, unique among queues.",
        ),
        CALLED,
        key(
            "path",
            "The path that is called. `/queues/` and the name without it.",
        ),
        key(
            "batch",
            "Messages of one call. With 1 the body of the call is the message itself.",
        ),
        key(
            "batch_wait",
            "How long a call waits for its batch to be full.",
        ),
        key("concurrency", "Calls at the same time."),
        VISIBILITY,
        ATTEMPTS,
        BACKOFF,
        BACKOFF_MAX,
    ],
};

pub(crate) const SCHEDULE: Table = Table {
    header: "[[schedule]]",
    keys: &[
        key(
            "name",
            "The schedule's name: a DNS label, unique among schedules.",
        ),
        CALLED,
        key(
            "path",
            "The path that is called. `/schedules/` and the name without it.",
        ),
        key(
            "cron",
            "When it is due: minute, hour, day of month, month, day of week; seconds may stand before them.",
        ),
        key(
            "zone",
            "The time zone of the line, by its name in the IANA database.",
        ),
        key(
            "jitter",
            "A run starts up to so much later, by chance, so that many don't start at once.",
        ),
        key(
            "overlap",
            "What happens when it is due and an earlier run hasn't ended.",
        ),
        key(
            "missed",
            "What happens to runs that were due while the node didn't run.",
        ),
        VISIBILITY,
        ATTEMPTS,
        BACKOFF,
        BACKOFF_MAX,
    ],
};

pub(crate) const FUNCTION: Table = Table {
    header: "[[function]]",
    keys: &[
        key(
            "name",
            "The function's name: a DNS label, unique in the app. An only function has the app's name.",
        ),
        key(
            "component",
            "The component's file. Without it the cargo package of the folder is built.",
        ),
        key("world", "Forces the WASI version that is built for."),
        key(
            "routes",
            "The requests that the function answers: `[host]/path`. The most specific route wins.",
        ),
        key("isolation", "How instances are shared between requests."),
        key(
            "compress",
            "Which responses are compressed for clients that take it.",
        ),
        key(
            "server_timing",
            "Whether clients are told how a request started and how long it took.",
        ),
        key(
            "cache",
            "Keeps answers in front of the function. Off without the table.",
        ),
        key("env", "Environment variables of the function."),
        key(
            "config",
            "Values that the function asks for by name. No secrets: they are part of the version.",
        ),
        key(
            "grants",
            "What the function may use of the world outside it.",
        ),
        key("limits", "How much the function may use."),
        key(
            "mounts",
            "Folders of the app's files that the function reads as files of its own.",
        ),
    ],
};

pub(crate) const CACHE: Table = Table {
    header: "[function.cache]",
    keys: &[
        key(
            "default_ttl",
            "How long an answer is fresh that doesn't say.",
        ),
        key(
            "vary",
            "Fields of a request that the function sees, and that answers are kept apart by. It sees no others.",
        ),
        key(
            "authorization",
            "Whether requests with `Authorization` use the cache: each caller has answers of its own.",
        ),
        key(
            "ignore_cookies",
            "Whether requests with `Cookie` use the cache, as if they had none.",
        ),
        key(
            "set_cookie",
            "Whether answers with `Set-Cookie` are kept, for all who ask.",
        ),
    ],
};

pub(crate) const ASSETS: Table = Table {
    header: "[[assets]]",
    keys: &[
        key(
            "path",
            "The folder with the files, relative to the manifest's folder and below it.",
        ),
        key(
            "at",
            "Where the files are: `[host]/prefix`. A function's route that is more specific wins.",
        ),
        key(
            "fallback",
            "The file that answers pages which have none of their own, with 200.",
        ),
        key(
            "immutable",
            "Globs of files that never change under their names: caches keep them for a year.",
        ),
    ],
};

pub(crate) const MOUNTS: Table = Table {
    header: "[[function.mounts]]",
    keys: &[
        key(
            "path",
            "The folder with the files, relative to the manifest's folder and below it.",
        ),
        key(
            "at",
            "Where the function sees the folder. `/` and the folder's path without it.",
        ),
    ],
};

pub(crate) const GRANTS: Table = Table {
    header: "[function.grants]",
    keys: &[
        key(
            "http",
            "Where the function may send requests: `scheme://host[:port]`, with `*.name` or `*` for many hosts.",
        ),
        key(
            "addresses",
            "Addresses and networks that names in `http` may resolve to although they aren't public.",
        ),
        key(
            "functions",
            "Functions of the same app that the function may call, at `http://<name>.everwarm.internal/`.",
        ),
        key(
            "kv",
            "Key-value stores of the app that the function may open.",
        ),
        key(
            "secrets",
            "Secrets of the app that the function may read, by name. `everwarm secret set` sets them.",
        ),
        key(
            "sql",
            "SQL databases of the app that the function may open.",
        ),
        key(
            "blobs",
            "Containers of the app's blobs that the function may open.",
        ),
        key(
            "redis",
            "Redis servers of the app that the function may ask.",
        ),
        key("queues", "Queues of the app that the function may send to."),
        key(
            "cache",
            "Whether the function may keep values in the node's memory for a time.",
        ),
    ],
};

pub(crate) const LIMITS: Table = Table {
    header: "[function.limits]",
    keys: &[
        key("memory", "Linear memory and tables of one instance."),
        key("cpu_time", "On-CPU time of one request."),
        key(
            "wall_time",
            "Time from a request's head to the end of its response.",
        ),
        key(
            "concurrency",
            "Requests that the function handles at the same time on one node.",
        ),
        key("request_body", "Bytes of a request's body."),
        key(
            "response_body",
            "Bytes of a response's body, or `unlimited`.",
        ),
        key(
            "background_time",
            "How long work may go on after the response has ended.",
        ),
        key(
            "subrequests",
            "Requests that the handling of one request may send.",
        ),
        key(
            "subrequest_body",
            "Bytes of the body of each such request and of its response, or `unlimited`.",
        ),
    ],
};

pub(crate) const TABLES: [&Table; 13] = [
    &ROOT, &BUILD, &SQL, &BLOBS, &FUNCTION, &CACHE, &GRANTS, &LIMITS, &MOUNTS, &ASSETS, &QUEUE,
    &SCHEDULE, &REDIS,
];

impl Table {
    pub(crate) fn get(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
