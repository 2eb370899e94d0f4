//! The embedded worlds are the ones that `wit/` describes. Run it with `EVERWARM_WRITE_WORLD=1` after a
//! change there.

use std::fs;
use std::path::Path;

use wit_component::{StringEncoding, metadata};
use wit_parser::{Resolve, WorldId};

fn world(wit: &str) -> (Resolve, WorldId) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let package = resolve
        .push_file(root.join("wit").join(wit))
        .expect("valid WIT");
    let world = resolve
        .select_world(&[package], Some("http"))
        .expect("a world called http");
    (resolve, world)
}

fn assert_embedded(wit: &str, embedded: &str) {
    let (resolve, world) = world(wit);
    let encoded = metadata::encode(&resolve, world, StringEncoding::UTF8, None)
        .expect("a world that can be encoded");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(embedded);
    if std::env::var_os("EVERWARM_WRITE_WORLD").is_some() {
        fs::write(&path, &encoded).expect("a writable source tree");
    }
    let found = fs::read(path).expect("the embedded world");
    assert!(found == encoded, "{embedded} is not the world of {wit}");
}

#[test]
fn embedded_worlds_are_the_ones_that_are_described() {
    assert_embedded("wasi-0.2.wit", "src/sys/p2/world.bin");
    assert_embedded("wasi-0.3.wit", "src/sys/p3/world.bin");
}
