//! Every committed seed passes its fuzz target without a fuzzer.

use std::path::Path;

/// Runs `target` on each seed and returns how many there were.
fn replay(name: &str, target: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let seeds =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for seed in seeds {
        let path = seed.expect("the folder can be read").path();
        let bytes = std::fs::read(&path).expect("a seed can be read");
        eprintln!("{}", path.display());
        target(&bytes);
        count += 1;
    }
    count
}

#[test]
fn every_manifest_seed_is_parsed_or_refused() {
    assert!(replay("manifest", everwarm_fuzz::manifest) >= 4);
}

#[test]
fn every_router_seed_is_answered_as_a_scan_answers() {
    assert!(replay("router", everwarm_fuzz::router) >= 3);
}

#[test]
fn every_head_seed_is_refused_or_reaches_its_route() {
    assert!(replay("head", everwarm_fuzz::head) >= 8);
}

#[test]
fn every_component_seed_is_inspected_to_an_end() {
    assert!(replay("component", everwarm_fuzz::component) >= 4);
}

#[test]
fn every_admin_body_seed_is_understood_or_refused() {
    assert!(replay("admin_bodies", everwarm_fuzz::admin_bodies) >= 8);
}

#[test]
fn every_record_seed_proves_nothing() {
    assert!(replay("artifact_records", everwarm_fuzz::artifact_records) >= 3);
}

#[test]
fn every_backup_seed_is_a_backup_or_refused() {
    assert!(replay("backup_archives", everwarm_fuzz::backup_archives) >= 4);
}

#[test]
fn every_token_seed_is_a_token_or_none() {
    assert!(replay("tokens", everwarm_fuzz::tokens) >= 3);
}
