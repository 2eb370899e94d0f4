//! The embedded world of WASI 0.2 is the one that `wit/wasi-0.2.wit` describes. Run it with
//! `EVERWARM_WRITE_WORLD=1` after a change of that file.

use std::fs;
use std::path::Path;

use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

#[test]
fn the_embedded_world_is_the_one_that_is_described() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let package = resolve
        .push_file(root.join("wit/wasi-0.2.wit"))
        .expect("valid WIT");
    let world = resolve
        .select_world(&[package], Some("http"))
        .expect("a world called http");
    let encoded = metadata::encode(&resolve, world, StringEncoding::UTF8, None)
        .expect("a world that can be encoded");
    let embedded = root.join("src/sys/p2/world.bin");
    if std::env::var_os("EVERWARM_WRITE_WORLD").is_some() {
        fs::write(&embedded, &encoded).expect("a writable source tree");
    }
    let embedded = fs::read(embedded).expect("the embedded world");
    assert!(embedded == encoded, "world.bin is not wit/wasi-0.2.wit");
}
