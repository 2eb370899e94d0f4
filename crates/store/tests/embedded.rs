//! The embedded engine: the conformance suite, and faults injected for real into its files.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use everwarm_manifest::{App, AppName, TenantId, World};
use everwarm_store::Store;
use everwarm_store::artifacts::{ArtifactError, Artifacts as _};
use everwarm_store::audit::{Action, Note};
use everwarm_store::catalog::{
    Catalog as _, CatalogError, Component, NewVersion, UnixMillis, Version, VersionId,
};
use everwarm_store::conformance::BEHAVIOURS;
use everwarm_store::embedded::{Embedded, OpenError, SCHEMA_VERSION};
use everwarm_store::traffic::Traffic;

const MANIFEST: &str = "name = \"hello\"\n[[function]]\ncomponent = \"hello.wasm\"\n";

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir).unwrap()
}

fn new_version() -> NewVersion {
    let manifest = App::parse(MANIFEST, "everwarm.toml").unwrap();
    let name = manifest.functions[0].name.clone();
    let component = Component {
        digest: everwarm_store::artifacts::digest_of(b"component"),
        world: World::Wasi02,
    };
    NewVersion::new(manifest, [(name, component)].into(), UnixMillis(1)).unwrap()
}

/// Puts the component and the version, and lets it serve.
async fn serve(store: &Embedded, tenant: &TenantId) -> (AppName, VersionId) {
    let put = store.put(tenant, Bytes::from_static(b"component"), u64::MAX);
    put.await.unwrap();
    let version = store
        .put_version(tenant, new_version(), u32::MAX)
        .await
        .unwrap();
    let app = version.manifest.name;
    let note = Note {
        at: UnixMillis(1),
        actor: "a test".to_owned(),
        action: Action::Deploy,
        subject: app.to_string(),
        detail: String::new(),
    };
    let traffic = Traffic::all_to(version.id);
    let set = store.set_traffic(tenant, &app, traffic, [].into(), note, None);
    set.await.unwrap();
    (app, version.id)
}

async fn main_version(store: &Embedded, tenant: &TenantId, app: &AppName) -> Version {
    store.serving(tenant, app).await.unwrap().unwrap().main
}

#[tokio::test]
async fn embedded_engine_has_every_behaviour_of_the_suite() {
    assert!(!BEHAVIOURS.is_empty());
    for behaviour in BEHAVIOURS {
        println!("{}", behaviour.name);
        let dir = tempfile::tempdir().unwrap();
        (behaviour.run)(&open(dir.path()) as &dyn Store).await;
    }
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let tenant = TenantId::default_tenant();
    let (app, id) = serve(&open(dir.path()), &tenant).await;
    let store = open(dir.path());
    let main = main_version(&store, &tenant, &app).await;
    assert_eq!(main.id, id);
    let digest = main.components.values().next().unwrap().digest;
    assert_eq!(store.get(&tenant, digest).await.unwrap(), "component");
}

#[tokio::test]
async fn catalog_of_the_first_schema_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let tenant = TenantId::default_tenant();
    let new = new_version();
    let id = new.id();
    let app = App::parse(MANIFEST, "everwarm.toml").unwrap();
    let path = dir.path().join("catalog.sqlite");
    assert_eq!(
        open(&dir.path().join("other"))
            .data_dir()
            .catalog()
            .file_name(),
        path.file_name()
    );
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("schema-1.sql")).unwrap();
    let json = serde_json::to_string(&app).unwrap();
    let digest = everwarm_store::artifacts::digest_of(b"component");
    old.execute(
        "INSERT INTO version VALUES ('default', 'hello', ?1, 1, ?2)",
        rusqlite::params![id.as_bytes(), json],
    )
    .unwrap();
    old.execute(
        "INSERT INTO component VALUES ('default', 'hello', ?1, 'hello', ?2)",
        rusqlite::params![id.as_bytes(), digest.as_bytes()],
    )
    .unwrap();
    old.execute(
        "INSERT INTO live VALUES ('default', 'hello', ?1)",
        [id.as_bytes()],
    )
    .unwrap();
    drop(old);
    let main = main_version(&open(dir.path()), &tenant, &app.name).await;
    assert_eq!((main.id, main.manifest), (id, app));
    assert_eq!(
        main.components.values().next().unwrap().world,
        World::Wasi02
    );
}

#[tokio::test]
async fn tenant_of_the_third_schema_has_the_quotas_on_key_value_data_that_everybody_has() {
    use everwarm_store::accounts::{Accounts as _, Quotas};

    let dir = tempfile::tempdir().unwrap();
    let path = open(dir.path()).data_dir().catalog();
    let old = rusqlite::Connection::open(&path).unwrap();
    let quotas =
        r#"{"apps":7,"artifact_bytes":1,"memory_bytes":2,"concurrency":3,"requests_per_second":4}"#;
    old.execute(
        "INSERT INTO tenant (id, quotas, created_ms) VALUES ('ann', ?1, 5)",
        [quotas],
    )
    .unwrap();
    old.execute_batch(
        "DROP TABLE removed_app;
         DROP TABLE secret_version;
         DROP TABLE secret;
         DROP INDEX version_of_assets;
         ALTER TABLE version DROP COLUMN assets;
         PRAGMA user_version = 3;",
    )
    .unwrap();
    drop(old);
    let store = open(dir.path());
    let ann = store.tenant(&TenantId::new("ann").unwrap()).await.unwrap();
    let expected = Quotas {
        apps: 7,
        artifact_bytes: 1,
        memory_bytes: 2,
        concurrency: 3,
        requests_per_second: 4,
        kv_bytes: None,
        kv_entries: None,
        queue_messages: None,
        queue_bytes: None,
        blobs: None,
        blob_bytes: None,
    };
    assert_eq!(ann.unwrap().quotas, expected);
    drop(store);
    let new = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = new
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, SCHEMA_VERSION);
}

/// The process that a test starts to hold the lock; does nothing when the suite runs it.
#[test]
fn holder_of_the_lock_for_other_tests() {
    let Some(dir) = std::env::var_os("EVERWARM_TEST_HOLD_LOCK") else {
        return;
    };
    let _store = open(Path::new(&dir));
    println!("\nlocked");
    // Until the test that started it closes the pipe.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}

/// Starts a process that has locked the folder when this returns.
fn hold_lock(dir: &Path) -> Child {
    use std::io::{BufRead as _, BufReader};

    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "holder_of_the_lock_for_other_tests",
            "--nocapture",
        ])
        .env("EVERWARM_TEST_HOLD_LOCK", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "locked"));
    holder
}

#[test]
fn second_process_is_told_who_holds_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = hold_lock(dir.path());

    let error = Embedded::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), "EW4002");
    let text = error.to_string();
    assert!(
        text.contains(&format!("(process {})", holder.id())),
        "{text}"
    );
    assert!(text.contains(&dir.path().display().to_string()), "{text}");

    // The lock ends with its process, however that ends.
    holder.kill().unwrap();
    holder.wait().unwrap();
    open(dir.path());
}

#[test]
fn folder_whose_process_is_just_ending_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = hold_lock(dir.path());
    let root = dir.path().to_owned();
    let next = std::thread::spawn(move || Embedded::open(&root).map(drop));
    holder.kill().unwrap();
    holder.wait().unwrap();
    next.join().unwrap().unwrap();
}

#[test]
fn catalog_of_a_later_release_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = open(dir.path()).data_dir().catalog();
    let newer = SCHEMA_VERSION + 1;
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .pragma_update(None, "user_version", newer)
        .unwrap();
    drop(connection);
    let error = Embedded::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), "EW4004");
    assert!(
        error.to_string().contains(&format!("version {newer}")),
        "{error}"
    );
}

#[test]
fn catalog_that_is_no_database_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = open(dir.path()).data_dir().catalog();
    fs::write(
        &path,
        "this was a database once, long ago, and isn't any more".repeat(100),
    )
    .unwrap();
    let error = Embedded::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), "EW4003");
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    assert!(matches!(error, OpenError::Sqlite { .. }));
}

#[tokio::test]
async fn row_that_was_changed_behind_our_back_is_an_error_that_names_the_app() {
    let dir = tempfile::tempdir().unwrap();
    let tenant = TenantId::default_tenant();
    let (path, app) = {
        let store = open(dir.path());
        let (app, _) = serve(&store, &tenant).await;
        (store.data_dir().catalog(), app)
    };
    let connection = rusqlite::Connection::open(&path).unwrap();
    let change = "UPDATE version SET manifest = replace(manifest, '/*', '/x')";
    assert_eq!(connection.execute(change, []).unwrap(), 1);
    drop(connection);
    let error = open(dir.path()).serving(&tenant, &app).await.unwrap_err();
    assert!(matches!(error, CatalogError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("`hello`"), "{error}");
}

#[tokio::test]
async fn folder_that_cannot_be_written_to_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    // A file where a folder is needed refuses even a superuser, whom modes don't stop.
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Embedded::open(&file.join("data")).unwrap_err();
    assert_eq!(error.code(), "EW4003");
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[test]
fn folder_is_made_for_its_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    open(&root);
    let mode = fs::metadata(&root).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// A store with one artifact whose file then suffers `fault`.
async fn damage(dir: &Path, fault: fn(&Path)) -> (Embedded, everwarm_manifest::Digest, PathBuf) {
    let store = open(dir);
    let tenant = TenantId::default_tenant();
    let digest = store
        .put(&tenant, Bytes::from_static(b"component"), u64::MAX)
        .await
        .unwrap();
    let path = store.local_file(&tenant, digest).await.unwrap();
    fault(&path);
    (store, digest, path)
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[4] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(3)
        .unwrap();
}

#[tokio::test]
async fn damaged_artifact_is_never_handed_out_and_put_mends_it() {
    let tenant = TenantId::default_tenant();
    for fault in [flip_a_bit, truncate] {
        let dir = tempfile::tempdir().unwrap();
        let (store, digest, _) = damage(dir.path(), fault).await;
        let got = store.get(&tenant, digest).await;
        assert!(matches!(got, Err(ArtifactError::Damaged { .. })), "{got:?}");
        let file = store.local_file(&tenant, digest).await;
        assert!(
            matches!(file, Err(ArtifactError::Damaged { .. })),
            "{file:?}"
        );
        store
            .put(&tenant, Bytes::from_static(b"component"), u64::MAX)
            .await
            .unwrap();
        assert_eq!(store.get(&tenant, digest).await.unwrap(), "component");
    }
}

#[tokio::test]
async fn failed_put_keeps_nothing_and_leaves_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, path) = damage(dir.path(), |_| ()).await;
    let tenant = TenantId::default_tenant();
    // A folder stands where the file of these bytes would be renamed to.
    let bytes = Bytes::from_static(b"other");
    let digest = everwarm_store::artifacts::digest_of(&bytes);
    let root = path.parent().unwrap().parent().unwrap();
    let folder = root.join(&digest.hex()[..2]);
    fs::create_dir_all(folder.join(format!("{}.wasm", digest.hex())).join("x")).unwrap();
    let error = store.put(&tenant, bytes, u64::MAX).await.unwrap_err();
    assert_eq!(error.code(), "EW4003");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let incoming = store.data_dir().artifacts().join(".incoming");
    assert_eq!(fs::read_dir(incoming).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let incoming = open(dir.path()).data_dir().artifacts().join(".incoming");
    fs::write(incoming.join("left-over"), "half").unwrap();
    open(dir.path());
    assert_eq!(fs::read_dir(incoming).unwrap().count(), 0);
}
