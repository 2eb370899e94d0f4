//! Compiled code on disk: used again when it is what the node wrote, never when it isn't.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use everwarm_e2e::app::AppFolder;
use everwarm_e2e::{App, World, both_worlds, eventually};
use rustix::process::Signal;

/// Which file it is, and when it was last changed: a file that was written anew has another one of them.
fn identity(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// The files below a folder, with what tells a file from one that was written anew.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.insert(entry.path(), identity(&entry.metadata().unwrap()));
        }
    }
    files
}

/// The compiled code: the largest of the files.
fn code(app: &AppFolder) -> PathBuf {
    let files = files(&app.compiled());
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    files
        .into_keys()
        .max_by_key(size)
        .expect("something was compiled")
}

/// Serves the app once, and stops.
async fn once(app: &AppFolder) {
    let node = app.start().await;
    assert_eq!(node.get("/").await.ok(), "Hello from Everwarm\n");
    assert!(node.stop(Signal::TERM).await.status.success());
}

/// Replaces the compiled code with something else, and shows that it isn't what is run.
async fn tampered(world: World, tamper: impl Fn(Vec<u8>) -> Vec<u8>) {
    let app = App::new("hello", world).write();
    once(&app).await;
    let path = code(&app);
    let good = fs::read(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let bad = tamper(good.clone());
    assert!(good != bad, "nothing was changed");
    fs::write(&path, &bad).unwrap();
    once(&app).await;
    assert!(
        fs::read(code(&app)).unwrap() != bad,
        "the changed code is still there"
    );
}

/// Has a function leave memory, spoils all that is compiled, and shows what its next request hears: that
/// its code is not ready, and that it is made meanwhile.
async fn missing_under_a_running_node(world: World, spoil: impl Fn(&Path)) {
    // As little as possible stays in memory: the function that was asked last.
    let app = App::new("hello", world).and("echo", world, "/echo");
    let app = app.flag("--resident-max", "1B").write();
    let node = app.start().await;
    node.get("/").await.ok();
    node.get("/echo").await.ok();
    for path in files(&app.compiled()).keys() {
        spoil(path);
    }
    let reply = node.get("/?first").await;
    reply.failed(503, "EW3015");
    assert_eq!(reply.header("retry-after"), Some("1"));
    let event = node.log().access("/?first").await;
    assert_eq!(
        (&event["status"], &event["error"]),
        (&503.into(), &"EW3015".into()),
        "{event}"
    );
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains("compiled"), "{detail}");
    // The neighbour is in memory, and needs no file.
    node.get("/echo").await.ok();
    eventually("the code is made again", async || {
        let reply = node.get("/").await;
        (reply.status() == 200).then(|| reply.ok().to_owned())
    })
    .await;
    node.log().line("is there again").await;
    assert!(node.stop(Signal::TERM).await.status.success());
    once(&app).await;
}

/// Code of another function of the same node, whole and with a record that holds, in place of a function's own.
async fn swapped(world: World, ending: Option<&str>) {
    let app = App::new("hello", world).and("echo", world, "/echo").write();
    let node = app.start().await;
    assert!(node.stop(Signal::TERM).await.status.success());
    let of_kind = |path: &PathBuf| {
        ending.is_none_or(|ending| path.extension().is_some_and(|found| found == ending))
    };
    let mut paths: Vec<PathBuf> = files(&app.compiled()).into_keys().filter(of_kind).collect();
    paths.sort_by_key(|path| (path.extension().map(ToOwned::to_owned), path.clone()));
    assert!(
        paths.len().is_multiple_of(2) && !paths.is_empty(),
        "{paths:?}"
    );
    for pair in paths.chunks(2) {
        let aside = pair[0].with_extension("aside");
        fs::rename(&pair[0], &aside).unwrap();
        fs::rename(&pair[1], &pair[0]).unwrap();
        fs::rename(&aside, &pair[1]).unwrap();
    }
    let node = app.start().await;
    assert_eq!(node.get("/").await.ok(), "Hello from Everwarm\n");
    assert_ne!(node.get("/echo").await.ok(), "Hello from Everwarm\n");
    assert!(node.stop(Signal::TERM).await.status.success());
}

both_worlds! {
    async fn code_of_another_function_is_never_run(world: World) {
        for ending in [Some("cwasm"), Some("record"), None] {
            swapped(world, ending).await;
        }
    }

    async fn second_start_uses_what_the_first_compiled(world: World) {
        let app = App::new("hello", world).write();
        once(&app).await;
        let before = files(&app.compiled());
        once(&app).await;
        assert_eq!(files(&app.compiled()), before, "it was compiled again");
    }

    async fn flipped_byte_is_compiled_again(world: World) {
        tampered(world, |mut code| {
            let middle = code.len() / 2;
            code[middle] ^= 1;
            code
        })
        .await;
    }

    async fn truncated_code_is_compiled_again(world: World) {
        tampered(world, |code| code[..code.len() / 3].to_vec()).await;
    }

    async fn forged_code_is_compiled_again(world: World) {
        tampered(world, |code| vec![0xcc; code.len()]).await;
    }

    async fn forged_record_is_compiled_again(world: World) {
        let app = App::new("hello", world).write();
        once(&app).await;
        let code = code(&app);
        let before = identity(&fs::metadata(&code).unwrap());
        for path in files(&app.compiled()).into_keys().filter(|path| *path != code) {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let mut record = fs::read(&path).unwrap();
            let last = record.len() - 1;
            record[last] ^= 1;
            fs::write(&path, record).unwrap();
        }
        once(&app).await;
        assert_ne!(identity(&fs::metadata(&code).unwrap()), before, "the record isn't looked at");
    }

    async fn copied_folder_serves(world: World) {
        let app = App::new("hello", world).write();
        once(&app).await;
        let path = code(&app);
        let copy = fs::read(&path).unwrap();
        // The same bytes in another file, as a restored backup has them.
        fs::remove_file(&path).unwrap();
        fs::write(&path, copy).unwrap();
        once(&app).await;
    }

    async fn killed_node_starts_again(world: World) {
        let app = App::new("hello", world).write();
        for _ in 0..3 {
            let node = app.start().await;
            assert_eq!(node.get("/").await.ok(), "Hello from Everwarm\n");
            let stopped = node.stop(Signal::KILL).await;
            assert!(!stopped.status.success());
        }
        once(&app).await;
    }

    async fn code_that_is_gone_is_not_made_while_a_request_waits(world: World) {
        missing_under_a_running_node(world, |path| fs::remove_file(path).unwrap()).await;
    }

    async fn code_that_was_replaced_under_a_running_node_is_not_run(world: World) {
        missing_under_a_running_node(world, |path| {
            let bytes = fs::read(path).unwrap();
            // Another file by the same name: what is mapped stays as it is.
            fs::remove_file(path).unwrap();
            fs::write(path, vec![0xcc; bytes.len()]).unwrap();
        })
        .await;
    }
}
