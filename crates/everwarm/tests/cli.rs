//! The real binary, as scripts see it: output, JSON and exit codes of what needs no node.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// The longest that a test waits; only one that fails waits so long.
const LIMIT: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Runs the binary in `folder`, with nothing of this process's settings.
fn everwarm(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everwarm"))
        .current_dir(folder)
        .args(args)
        .env_remove("EVERWARM_LISTEN")
        .env_remove("EVERWARM_DATA_DIR")
        .env_remove("EVERWARM_LOG")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with a manifest.
fn app(manifest: &str) -> tempfile::TempDir {
    let folder = folder();
    fs::write(folder.path().join("everwarm.toml"), manifest).unwrap();
    folder
}

#[test]
fn new_app_has_its_name_and_the_sdk_beside_it() {
    let folder = folder();
    let output = everwarm(folder.path(), &["new", "shop-api"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("everwarm up shop-api"));
    let app = folder.path().join("shop-api");
    let manifest = fs::read_to_string(app.join("everwarm.toml")).unwrap();
    assert!(manifest.contains("name = \"shop-api\""), "{manifest}");
    let cargo = fs::read_to_string(app.join("Cargo.toml")).unwrap();
    assert!(cargo.contains("vendor/everwarm/sdk"), "{cargo}");
    assert!(app.join("vendor/everwarm/sdk/src/lib.rs").is_file());
    assert!(app.join("vendor/everwarm/sdk-macros/src/lib.rs").is_file());
}

#[test]
fn cargo_can_read_every_new_app() {
    for template in ["http", "axum", "bare"] {
        let folder = folder();
        let output = everwarm(
            folder.path(),
            &["new", "demo", "--template", template, "--json"],
        );
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(json(&output)["template"], template);
        let metadata = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(folder.path().join("demo"))
            .output()
            .unwrap();
        assert!(
            metadata.status.success(),
            "{template}: {}",
            stderr(&metadata)
        );
        assert_eq!(json(&metadata)["packages"][0]["name"], "demo");
    }
}

#[test]
fn new_never_writes_into_a_folder_that_holds_something() {
    let folder = folder();
    fs::create_dir(folder.path().join("demo")).unwrap();
    fs::write(folder.path().join("demo/.keep"), "mine").unwrap();
    let output = everwarm(folder.path(), &["new", "demo", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["error"]["code"], "EW4020");
    assert_eq!(fs::read_dir(folder.path().join("demo")).unwrap().count(), 1);
}

#[test]
fn new_takes_an_empty_folder_that_is_there() {
    let folder = folder();
    let output = everwarm(folder.path(), &["new", "demo", "--path", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(folder.path().join("everwarm.toml").is_file());
}

#[test]
fn bad_name_is_wrong_usage_with_a_suggestion() {
    let folder = folder();
    let output = everwarm(folder.path(), &["new", "My_Shop"]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(
        told.contains("EW1008") && told.contains("did you mean `"),
        "{told}"
    );
}

#[test]
fn unknown_flag_is_wrong_usage() {
    let output = everwarm(folder().path(), &["up", "--lissten", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--listen"), "{}", stderr(&output));
}

#[test]
fn folder_without_a_manifest_is_told_what_to_do() {
    let folder = folder();
    for verb in ["build", "up", "invoke"] {
        let output = everwarm(folder.path(), &[verb]);
        assert_eq!(output.status.code(), Some(3), "{verb}");
        let told = stderr(&output);
        assert!(
            told.contains("error[EW4005]") && told.contains("everwarm new"),
            "{told}"
        );
    }
}

#[test]
fn mistakes_of_a_manifest_are_told_at_once_with_file_line_and_suggestion() {
    let app = app("name = \"demo\"\n[[function]]\nisolaton = \"serial\"\nroutes = [\"x y\"]\n");
    let output = everwarm(app.path(), &["build"]);
    assert_eq!(output.status.code(), Some(3));
    let told = stderr(&output);
    assert!(told.contains("the manifest has 2 mistakes"), "{told}");
    assert!(told.contains("everwarm.toml:3:1: EW1002"), "{told}");
    assert!(told.contains("did you mean `isolation`?"), "{told}");
    let output = everwarm(app.path(), &["build", "--json"]);
    let error = &json(&output)["error"];
    assert_eq!(error["mistakes"].as_array().unwrap().len(), 2);
    assert_eq!(error["mistakes"][0]["line"], 3);
    assert_eq!(error["mistakes"][0]["suggestion"], "isolation");
}

#[test]
fn component_that_is_not_there_is_a_build_failure() {
    let app = app("name = \"demo\"\n[[function]]\ncomponent = \"no.wasm\"\n");
    let output = everwarm(app.path(), &["build", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(json(&output)["error"]["code"], "EW2011");
}

#[test]
fn build_command_replaces_cargo_and_its_component_is_described() {
    let app = app(
        "name = \"demo\"\n[build]\ncommand = \"echo making >&2; printf 'abc' > made.wasm\"\n[[function]]\ncomponent = \"made.wasm\"\n",
    );
    let output = everwarm(app.path(), &["build", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("making"));
    let component = &json(&output)["components"][0];
    assert_eq!(component["function"], "demo");
    assert_eq!(component["bytes"], 3);
    // The sha256 of `abc`, from FIPS 180-2.
    assert_eq!(
        component["sha256"],
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn failed_build_command_is_a_build_failure() {
    let app = app(
        "name = \"demo\"\n[build]\ncommand = \"echo broken >&2; exit 7\"\n[[function]]\ncomponent = \"made.wasm\"\n",
    );
    let output = everwarm(app.path(), &["build"]);
    assert_eq!(output.status.code(), Some(4));
    let told = stderr(&output);
    assert!(
        told.contains("broken") && told.contains("error[EW2009]"),
        "{told}"
    );
}

/// A child that is killed when the test ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < LIMIT, "{what}: not in time");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Whether a process runs; one that nobody has waited for yet doesn't.
fn runs(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_ok() && !stat.is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn interrupted_build_leaves_no_process_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let app = app(
            "name = \"demo\"\n[build]\ncommand = \"(echo $$ > .pid; mv .pid pid; sleep 600) & wait\"\n[[function]]\ncomponent = \"a.wasm\"\n",
        );
        let child = Command::new(env!("CARGO_BIN_EXE_everwarm"))
            .args(["build", "--json"])
            .current_dir(app.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let shell = eventually("the build command", || {
            let pid = fs::read_to_string(app.path().join("pid")).ok()?;
            Pid::from_raw(pid.trim().parse().ok()?)
        });
        assert!(runs(shell));
        kill_process(Pid::from_child(&running.0), signal).unwrap();
        let status = eventually("the end", || running.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(130));
        eventually("the end of the build command", || {
            (!runs(shell)).then_some(())
        });
    }
}

#[test]
fn compiler_errors_are_shown_as_cargo_has_them() {
    let app = app("name = \"demo\"\n[[function]]\n");
    fs::create_dir(app.path().join("src")).unwrap();
    fs::write(
        app.path().join("Cargo.toml"),
        "[package]\nname = \"demo\"\nedition = \"2024\"\n[workspace]\n[lib]\ncrate-type = [\"cdylib\"]\n",
    )
    .unwrap();
    fs::write(app.path().join("src/lib.rs"), "fn f() -> u32 { \"no\" }\n").unwrap();
    let output = everwarm(app.path(), &["build", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        stderr(&output).contains("error[E0308]"),
        "{}",
        stderr(&output)
    );
    let error = &json(&output)["error"];
    assert_eq!(error["code"], "EW2009");
    assert!(
        error["output"]
            .as_str()
            .unwrap()
            .contains("src/lib.rs:1:17")
    );
}

#[test]
fn port_in_use_is_told_before_anything_is_built() {
    let app = app(
        "name = \"demo\"\n[build]\ncommand = \"touch built\"\n[[function]]\ncomponent = \"a.wasm\"\n",
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = everwarm(app.path(), &["up", "--listen", &address]);
    assert_eq!(output.status.code(), Some(5));
    let told = stderr(&output);
    assert!(
        told.contains("error[EW4001]") && told.contains(&address),
        "{told}"
    );
    if cfg!(target_os = "linux") {
        let own = format!("process {}", std::process::id());
        assert!(told.contains(&own), "{told}");
    }
    assert!(!app.path().join("built").exists());
}

#[test]
fn doctor_names_what_it_found_and_how_to_mend_it() {
    let folder = folder();
    let output = everwarm(folder.path(), &["doctor", "--json", "--listen", "0"]);
    let report = json(&output);
    assert_eq!(
        report["ok"].as_bool().unwrap(),
        output.status.code() == Some(0)
    );
    let checks = report["checks"].as_array().unwrap();
    for name in ["platform", "rustup", "rustc", "wasm target", "port"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}");
    }
    for check in checks {
        assert_eq!(check["status"] == "ok", check["fix"].is_null(), "{check}");
    }
}

#[test]
fn doctor_without_rust_says_how_to_get_it() {
    let folder = folder();
    let output = Command::new(env!("CARGO_BIN_EXE_everwarm"))
        .args(["doctor", "--listen", "0"])
        .env("PATH", folder.path())
        .env("HOME", folder.path())
        .env("CARGO_HOME", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = stdout(&output);
    assert!(
        told.contains("missing  cargo") && told.contains("sh.rustup.rs"),
        "{told}"
    );
}

#[test]
fn completions_know_the_verbs() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = everwarm(folder.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("invoke"), "{shell}");
    }
}

#[test]
fn schema_is_the_manifests_own() {
    let output = everwarm(folder().path(), &["schema"]);
    assert_eq!(stdout(&output), everwarm_manifest::schema());
}

#[test]
fn no_color_is_kept_where_colours_would_be() {
    let folder = folder();
    let output = everwarm(folder.path(), &["build", "--color", "never"]);
    assert!(!stderr(&output).contains('\u{1b}'));
    let output = everwarm(folder.path(), &["build", "--color", "always"]);
    assert!(stderr(&output).contains('\u{1b}'));
}

#[test]
fn error_pages_of_the_command_line_exist() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for code in [
        "EW2009", "EW2010", "EW2011", "EW4001", "EW4005", "EW4006", "EW4020", "EW4021",
    ] {
        assert!(pages.join(format!("{code}.md")).is_file(), "{code}");
    }
}
