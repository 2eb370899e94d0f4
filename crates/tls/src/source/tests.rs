//! Folders as operators leave them.

use super::*;
use crate::certificate::tests::pem;

struct Folder {
    folder: tempfile::TempDir,
    certificates: Certificates,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            certificates: Certificates::default(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn pair(&self, name: &str, names: &[&str]) {
        let (chain, key) = pem(names);
        self.write(&format!("{name}.crt"), &chain);
        self.write(&format!("{name}.key"), &key);
    }

    fn open(&self) -> Files {
        let source = Source::Folder(self.folder.path().to_owned());
        Files::open(source, &self.certificates).unwrap()
    }

    fn look_again(&self, files: &mut Files) -> bool {
        let has_changed = files.look_again();
        self.certificates.set_files(files.set());
        has_changed
    }
}

#[test]
fn pairs_are_taken_gone_and_new_ones_are_noticed() {
    let folder = Folder::new();
    folder.pair("a", &["a.example.com"]);
    folder.pair(".hidden", &["hidden.example.com"]);
    folder.write("notes.txt", "");
    let mut files = folder.open();
    assert!(folder.certificates.is_in_files("a.example.com"));
    assert!(!folder.certificates.is_in_files("hidden.example.com"));
    assert!(!folder.look_again(&mut files));

    folder.pair("b", &["*.example.org"]);
    fs::remove_file(folder.folder.path().join("a.crt")).unwrap();
    assert!(folder.look_again(&mut files));
    assert!(folder.certificates.is_in_files("x.example.org"));
    assert!(!folder.certificates.is_in_files("a.example.com"));
}

#[test]
fn broken_pair_leaves_the_one_before_in_force() {
    let folder = Folder::new();
    folder.pair("a", &["a.example.com"]);
    folder.write("b.crt", "no certificate");
    let mut files = folder.open();
    for broken in ["", "-----BEGIN CERTIFICATE-----\n"] {
        folder.write("a.crt", broken);
        assert!(!folder.look_again(&mut files));
        assert!(folder.certificates.is_in_files("a.example.com"));
    }
    // Another certificate, whose key isn't there yet.
    let (chain, key) = pem(&["new.example.com"]);
    folder.write("a.crt", &chain);
    assert!(!folder.look_again(&mut files));
    assert!(folder.certificates.is_in_files("a.example.com"));
    folder.write("a.key", &key);
    assert!(folder.look_again(&mut files));
    assert!(folder.certificates.is_in_files("new.example.com"));
    assert!(!folder.certificates.is_in_files("a.example.com"));
}

#[test]
fn folder_that_is_gone_leaves_what_it_had() {
    let folder = Folder::new();
    folder.pair("a", &["a.example.com"]);
    let mut files = folder.open();
    let elsewhere = folder.folder.path().with_extension("elsewhere");
    fs::rename(folder.folder.path(), &elsewhere).unwrap();
    assert!(!folder.look_again(&mut files));
    assert!(folder.certificates.is_in_files("a.example.com"));
    fs::rename(&elsewhere, folder.folder.path()).unwrap();
    assert!(!folder.look_again(&mut files));
}

#[test]
fn only_pair_has_to_be_usable_and_is_for_any_name() {
    let folder = Folder::new();
    folder.pair("a", &["a.example.com"]);
    let certificate = folder.folder.path().join("a.crt");
    let pair = |key: &str| Source::Pair {
        certificate: certificate.clone(),
        key: folder.folder.path().join(key),
    };
    let error = Files::open(pair("missing.key"), &folder.certificates).unwrap_err();
    assert_eq!(error.code(), "EW4030");
    assert!(error.to_string().contains("missing.key"), "{error}");
    let error = Files::open(
        Source::Folder(folder.folder.path().join("none")),
        &folder.certificates,
    );
    assert_eq!(error.unwrap_err().code(), "EW4031");
    let files = Files::open(pair("a.key"), &folder.certificates).unwrap();
    assert!(files.set().has_default());
}
