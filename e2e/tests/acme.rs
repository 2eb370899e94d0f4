//! Certificates by ACME, from a double that speaks the protocol and fetches challenges from the node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use everwarm_e2e::acme::AcmeServer;
use everwarm_e2e::{Authority, DataFolder, NewApp, Request, Server, eventually};
use rustix::process::Signal;
use tempfile::TempDir;
use x509_cert::der::Decode as _;

/// The files of a node that gets its certificates from a double.
struct Setting {
    data: DataFolder,
    folder: TempDir,
    acme: AcmeServer,
}

impl Setting {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let acme = AcmeServer::start().await;
        fs::create_dir(folder.path().join("certificates")).unwrap();
        fs::write(folder.path().join("root.pem"), acme.authority().pem()).unwrap();
        Self {
            data: DataFolder::new(),
            folder,
            acme,
        }
    }

    fn command(&self) -> Command {
        let mut command = self.data.command();
        command
            .args(["--tls-listen", "127.0.0.1:0", "--https-only"])
            .args(["--acme-agree-to-terms", "--acme-contact", "ops@example.com"])
            .args(["--acme-directory", &self.acme.directory(), "--acme-root"])
            .arg(self.folder.path().join("root.pem"))
            .arg("--tls-certificates")
            .arg(self.folder.path().join("certificates"));
        command
    }

    async fn start(&self) -> Server {
        let server = self.data.start_with(self.command()).await;
        self.acme.fetch_from(server.node.address());
        server
    }

    /// The certificate that a host gets, once it has one that the authority vouches for.
    async fn certificate(&self, server: &Server, host: &str) -> Vec<u8> {
        let client = self.acme.authority().client(&["h2"]);
        let secured = eventually("a certificate", async || {
            client.try_connect(server.tls_address(), host).await.ok()
        })
        .await;
        let shown = secured.certificate();
        let request = Request::get("/").header("host", host);
        let reply = secured.http().await.send(request).await;
        assert_eq!(reply.ok(), "Hello from Everwarm\n", "{host}");
        shown
    }

    fn ordered(&self) -> Vec<String> {
        let mut ordered = self.acme.orders();
        ordered.sort();
        ordered
    }
}

async fn deploy(server: &Server, name: &str, routes: &[&str]) {
    let app = NewApp::new(name, "hello", routes);
    app.deploy(&server.client()).await.unwrap();
}

async fn is_unknown(authority: &Authority, server: &Server, host: &str) {
    let client = authority.client(&[]);
    let error = client.try_connect(server.tls_address(), host).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("UnrecognisedName"), "{host}: {error}");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries.flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_apps_get_certificates_and_no_others_and_a_restart_orders_none() {
    let setting = Setting::new().await;
    let own = setting.acme.authority().issue(&["own.example.org"]);
    own.write(&setting.folder.path().join("certificates"), "own");
    let server = setting.start().await;
    let routes = [
        "/*",
        "claimed.example.org/*",
        "own.example.org/*",
        "*.wild.example.org/*",
    ];
    deploy(&server, "shop", &routes).await;
    let shown = setting.certificate(&server, "shop.example.com").await;
    setting.certificate(&server, "claimed.example.org").await;
    assert_eq!(
        setting.certificate(&server, "own.example.org").await,
        own.der
    );
    for host in ["other.example.com", "a.wild.example.org", "example.com"] {
        is_unknown(setting.acme.authority(), &server, host).await;
    }
    let ordered = ["claimed.example.org", "shop.example.com"];
    assert_eq!(setting.ordered(), ordered);
    let kept = files(&setting.data.path().join("acme"));
    assert!(kept.len() >= 4, "{kept:?}");
    for path in kept {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }

    assert!(server.node.stop(Signal::TERM).await.status.success());
    let server = setting.start().await;
    assert_eq!(
        setting.certificate(&server, "shop.example.com").await,
        shown
    );
    // What comes after a restart is ordered, by the same account.
    deploy(&server, "later", &["/*"]).await;
    setting.certificate(&server, "later.example.com").await;
    assert_eq!(
        setting.ordered(),
        [ordered[0], "later.example.com", ordered[1]]
    );
    assert_eq!(setting.acme.accounts(), 1);
    assert_eq!(setting.acme.violations(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
    let setting = Setting::new().await;
    // An hour old when it is issued, and good for some seconds more.
    setting.acme.next_dates(-3_600, 6);
    let server = setting.start().await;
    deploy(&server, "shop", &["/*"]).await;
    let lines = |lines: &[String]| {
        let new = lines
            .iter()
            .filter(|line| line.contains("a new certificate is in force"));
        (new.count() == 2).then_some(())
    };
    server
        .node
        .log()
        .wait_for("a second certificate", lines)
        .await;
    let shown = setting.certificate(&server, "shop.example.com").await;
    let shown = x509_cert::Certificate::from_der(&shown).unwrap();
    let until = shown
        .tbs_certificate()
        .validity()
        .not_after
        .to_system_time();
    assert!(until > SystemTime::now() + Duration::from_hours(24));
    assert_eq!(setting.ordered(), ["shop.example.com"; 2]);
    assert_eq!(setting.acme.violations(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_that_fails_waits_across_restarts_and_all_else_is_served() {
    let setting = Setting::new().await;
    setting.acme.refuse("bad.example.com");
    let server = setting.start().await;
    deploy(&server, "bad", &["/*"]).await;
    let failed = server.node.log().line("EW4033").await;
    assert!(failed.contains("bad.example.com"), "{failed}");
    assert!(failed.contains("the answer isn't the one"), "{failed}");
    assert!(failed.contains("\"retry_in_s\":600"), "{failed}");
    is_unknown(setting.acme.authority(), &server, "bad.example.com").await;
    deploy(&server, "shop", &["/*"]).await;
    setting.certificate(&server, "shop.example.com").await;

    // Without asking it: nothing may depend on an end in order.
    drop(server.node.stop(Signal::KILL).await);
    let server = setting.start().await;
    setting.certificate(&server, "shop.example.com").await;
    deploy(&server, "later", &["/*"]).await;
    setting.certificate(&server, "later.example.com").await;
    let ordered = ["bad.example.com", "later.example.com", "shop.example.com"];
    assert_eq!(setting.ordered(), ordered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_not_trusted_or_not_there_leaves_the_node_serving() {
    let mut setting = Setting::new().await;
    let other = Authority::new().pem();
    fs::write(setting.folder.path().join("root.pem"), other).unwrap();
    let server = setting.start().await;
    deploy(&server, "shop", &["/*"]).await;
    let failed = server.node.log().line("EW4033").await;
    assert!(failed.contains("certificate"), "{failed}");
    assert_eq!(server.get("shop.example.com", "/").await.status(), 308);

    setting.data = DataFolder::new();
    fs::write(setting.folder.path().join("root.pem"), "nothing").unwrap();
    let refusal = everwarm_e2e::node::refused(setting.command()).await;
    assert_eq!(refusal.code, "EW4032");
    assert!(refusal.message.contains("root.pem"), "{}", refusal.message);
}
