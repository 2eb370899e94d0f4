//! The archive that ships: what is in it, that it is whole, and that its binary needs nothing of a machine with Rust.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use everwarm_api::client::Client;
use everwarm_api::token::Token;
use everwarm_e2e::node::Node;
use everwarm_e2e::{NewApp, Request, everwarm};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Exposure at most, in tenths, as `systemd-analyze security` rates it.
const EXPOSURE_MAX: &str = "25";

/// Runs a program that tests need and machines may lack.
fn run(command: &mut Command, package: &str) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("{command:?}: {error}: this test needs it, apt-get install {package}")
        });
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Makes the archive of the binary under test, and says where it is.
fn make(out: &Path) -> PathBuf {
    let xtask = everwarm().with_file_name("xtask");
    assert!(
        xtask.is_file(),
        "there is no {}: cargo build -p xtask",
        xtask.display()
    );
    let mut dist = Command::new(xtask);
    dist.args(["dist", "--binary"])
        .arg(everwarm())
        .arg("--out")
        .arg(out);
    let output = run(&mut dist, "binutils");
    PathBuf::from(
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .next_back()
            .unwrap(),
    )
}

/// The archive, unpacked.
struct Unpacked {
    _folder: TempDir,
    archive: PathBuf,
    root: PathBuf,
}

impl Unpacked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = make(folder.path());
        run(
            Command::new("tar")
                .arg("-xzf")
                .arg(&archive)
                .arg("-C")
                .arg(folder.path()),
            "tar",
        );
        let name = archive.file_name().unwrap().to_str().unwrap();
        let root = folder.path().join(name.strip_suffix(".tar.gz").unwrap());
        Self {
            _folder: folder,
            archive,
            root,
        }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The binary, in an environment with nothing in it.
    fn binary(&self) -> Command {
        let mut command = Command::new(self.root.join("everwarm"));
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command
    }
}

#[tokio::test]
async fn binary_of_the_archive_serves_where_there_is_no_rust() {
    let unpacked = Unpacked::new();
    let data = tempfile::tempdir().unwrap();
    let mut serve = unpacked.binary();
    serve
        .args([
            "serve",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ])
        .args(["--base-domain", "example.com", "--data-dir"])
        .arg(data.path());
    let node = Node::ready(serve).await;
    let token =
        Token::parse(&fs::read_to_string(data.path().join("admin.token")).unwrap()).unwrap();
    let admin = format!("http://{}", node.ready["admin"].as_str().unwrap());
    let client = Client::new(&admin, token, None).unwrap();
    NewApp::new("shop", "hello", &["/*"])
        .deploy(&client)
        .await
        .unwrap();
    let request = Request::get("/").header("host", "shop.example.com");
    assert_eq!(node.send(request).await.ok(), "Hello from Everwarm\n");
    assert!(node.stop(Signal::TERM).await.status.success());
}

#[test]
fn archive_has_all_that_an_installation_takes_and_says_what_it_is_made_of() {
    let unpacked = Unpacked::new();
    run(
        Command::new("sha256sum")
            .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
            .current_dir(&unpacked.root),
        "coreutils",
    );
    // Every file but the list itself is in the list.
    let sums = unpacked.text("SHA256SUMS");
    let files = walk(&unpacked.root);
    assert_eq!(sums.lines().count(), files.len() - 1, "{files:?}");
    for name in [
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "docs/operations.md",
        "systemd/everwarm.socket",
    ] {
        assert!(!unpacked.text(name).is_empty());
    }
    for (name, says) in [
        ("completions/everwarm.bash", "complete -F"),
        ("completions/_everwarm", "#compdef everwarm"),
        ("completions/everwarm.fish", "complete -c everwarm"),
        ("man/everwarm.1", ".TH everwarm 1"),
        ("man/everwarm-serve.1", "take"),
        ("man/everwarm-tenant-set.1", "concurrency"),
    ] {
        assert!(
            unpacked.text(name).contains(says),
            "{name} doesn't say `{says}`"
        );
    }
    // Of each verb that is shown, and of no other.
    assert!(
        !unpacked
            .root
            .join("man/everwarm-compile-component.1")
            .exists()
    );

    let sbom: Value = serde_json::from_str(&unpacked.text("everwarm.cdx.json")).unwrap();
    assert_eq!(
        (&sbom["bomFormat"], &sbom["specVersion"]),
        (&"CycloneDX".into(), &"1.5".into())
    );
    assert_eq!(sbom["metadata"]["component"]["name"], "everwarm");
    let parts = sbom["components"].as_array().unwrap();
    let wasmtime = parts
        .iter()
        .find(|part| part["name"] == "wasmtime")
        .unwrap();
    let purl = wasmtime["purl"].as_str().unwrap();
    assert!(purl.starts_with("pkg:cargo/wasmtime@48."), "{purl}");
    assert_eq!(wasmtime["hashes"][0]["alg"], "SHA-256");
    assert!(
        wasmtime["licenses"][0]["expression"]
            .as_str()
            .unwrap()
            .contains("Apache-2.0")
    );
    // What only tests, builds or measures isn't in it.
    for name in ["proptest", "xtask", "everwarm-bench", "everwarm-e2e"] {
        assert!(!parts.iter().any(|part| part["name"] == name), "{name}");
    }
}

#[test]
fn archive_of_the_same_binary_is_the_same_bytes() {
    let unpacked = Unpacked::new();
    let again = tempfile::tempdir().unwrap();
    let again = make(again.path());
    let sum = fs::read_to_string(unpacked.archive.with_extension("gz.sha256")).unwrap();
    assert_eq!(
        sum.len(),
        64 + 2 + unpacked.archive.file_name().unwrap().len() + 1
    );
    // The checksum is of the archive; comparing bytes would print them.
    assert!(fs::read(&unpacked.archive).unwrap() == fs::read(again).unwrap());
}

#[test]
fn units_are_valid_and_confined() {
    let unpacked = Unpacked::new();
    // They name a place that this machine has nothing in.
    let units = tempfile::tempdir().unwrap();
    let service = unpacked.text("systemd/everwarm.service");
    let binary = unpacked.root.join("everwarm");
    let service = service.replace("/usr/local/bin/everwarm", binary.to_str().unwrap());
    fs::write(units.path().join("everwarm.service"), service).unwrap();
    fs::copy(
        unpacked.root.join("systemd/everwarm.socket"),
        units.path().join("everwarm.socket"),
    )
    .unwrap();
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command
            .args(arguments)
            .current_dir(units.path())
            .env("SYSTEMD_LOG_LEVEL", "warning");
        run(&mut command, "systemd")
    };
    let verified = analyze(&[
        "verify",
        "--man=no",
        "./everwarm.service",
        "./everwarm.socket",
    ]);
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(!said.contains("everwarm."), "{said}");
    analyze(&[
        "security",
        "--offline=true",
        "--threshold",
        EXPOSURE_MAX,
        "./everwarm.service",
    ]);
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
