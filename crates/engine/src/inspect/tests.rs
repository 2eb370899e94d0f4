//! Tests of `inspect`: real components written as text, and bytes that aren't components.

use everwarm_manifest::{Isolation, World};

use super::{ComponentFacts, InspectError, InspectLimits, WorldError, check_imports, inspect};

fn facts_of(text: &str) -> Result<ComponentFacts, InspectError> {
    inspect(&wat::parse_str(text).unwrap(), InspectLimits::default())
}

/// A component that exports empty instances of these names.
fn exporting(names: &[&str]) -> String {
    let exports = |name| format!("(export \"{name}\" (instance $i))");
    let exports: Vec<String> = names.iter().map(exports).collect();
    format!("(component (instance $i) {})", exports.join(" "))
}

fn facts(names: &[&str]) -> ComponentFacts {
    facts_of(&exporting(names)).unwrap()
}

const H02: &str = "wasi:http/incoming-handler@0.2.3";
const H03: &str = "wasi:http/handler@0.3.0";

#[test]
fn handler_export_decides_the_world_whatever_the_patch_version() {
    for name in [
        H02,
        "wasi:http/incoming-handler@0.2.0",
        "wasi:http/incoming-handler@0.2.99",
    ] {
        assert!(facts(&[name]).offers(World::Wasi02), "{name}");
        assert!(!facts(&[name]).offers(World::Wasi03), "{name}");
    }
    for name in [H03, "wasi:http/handler@0.3.7"] {
        assert!(facts(&[name]).offers(World::Wasi03), "{name}");
        assert!(!facts(&[name]).offers(World::Wasi02), "{name}");
    }
}

#[test]
fn component_without_a_handler_is_told_its_nearest_export() {
    let error = facts_of(&exporting(&["wasi:http/handler@0.3.0-rc-2025-09-16"])).unwrap_err();
    assert_eq!(error.code(), "EW2007");
    assert!(error.to_string().contains("0.3.0-rc-2025-09-16"), "{error}");
    let error = facts_of(&exporting(&["wasi:cli/run@0.2.0"])).unwrap_err();
    assert!(matches!(error, InspectError::NoHandler { nearest: None }));
}

#[test]
fn world_follows_isolation_and_manifest() {
    let both = facts(&[H02, H03]);
    let world = |facts: &ComponentFacts, forced, isolation| facts.world_for(forced, isolation);
    assert_eq!(world(&both, None, Isolation::Request), Ok(World::Wasi02));
    assert_eq!(world(&both, None, Isolation::Concurrent), Ok(World::Wasi03));
    assert_eq!(
        world(&both, Some(World::Wasi03), Isolation::Serial),
        Ok(World::Wasi03)
    );
    assert_eq!(
        world(&facts(&[H03]), None, Isolation::Request),
        Ok(World::Wasi03)
    );
    let error = world(&facts(&[H02]), None, Isolation::Concurrent).unwrap_err();
    assert_eq!(error, WorldError::ConcurrentNeeds03);
    assert_eq!(error.code(), "EW2008");
    let error = world(&facts(&[H03]), Some(World::Wasi02), Isolation::Request).unwrap_err();
    assert!(error.to_string().contains("incoming-handler"), "{error}");
}

#[test]
fn imports_are_listed_by_name_and_version_and_types_are_not() {
    let facts = facts_of(&format!(
        "(component
            (import \"wasi:io/streams@0.2.3\" (instance $s
                (export \"output-stream\" (type (sub resource)))))
            (alias export $s \"output-stream\" (type $t))
            (import \"my-func\" (func))
            (import \"my-type\" (type (eq $t)))
            (component $nested (import \"inner:only/thing\" (instance)))
            (instance $i) (export \"{H02}\" (instance $i)))"
    ))
    .unwrap();
    assert_eq!(facts.imports, ["wasi:io/streams@0.2.3", "my-func"]);
    assert_eq!(facts.exports, [H02]);
}

fn importing(names: &[&str]) -> ComponentFacts {
    let imports = |name| format!("(import \"{name}\" (instance))");
    let imports: Vec<String> = names.iter().map(imports).collect();
    let imports = imports.join(" ");
    facts_of(&format!(
        "(component {imports} (instance $i) (export \"{H02}\" (instance $i)))"
    ))
    .unwrap()
}

const PROVIDED: &[&str] = &[
    "wasi:io/streams@0.2.6",
    "wasi:io/poll@0.2.6",
    "wasi:http/types@0.2.6",
    "wasi:clocks/monotonic-clock@0.2.6",
];

#[test]
fn provided_imports_of_any_compatible_version_pass() {
    let facts = importing(&["wasi:io/streams@0.2.0", "wasi:http/types@0.2.6"]);
    assert_eq!(check_imports(&facts, PROVIDED), Ok(()));
}

#[test]
fn each_missing_import_is_named_with_the_nearest_one() {
    let cases = [
        // Another version of the same interface.
        ("wasi:http/types@0.3.0", Some("wasi:http/types@0.2.6")),
        // A name with a slip of the pen.
        ("wasi:io/stream@0.2.6", Some("wasi:io/streams@0.2.6")),
        // Another interface of the package.
        (
            "wasi:clocks/wall-clock@0.2.6",
            Some("wasi:clocks/monotonic-clock@0.2.6"),
        ),
        // Nothing like it.
        ("acme:robots/arm@1.0.0", None),
    ];
    let facts = importing(&cases.map(|(name, _)| name));
    let missing = check_imports(&facts, PROVIDED).unwrap_err();
    let found: Vec<_> = missing
        .iter()
        .map(|missing| (missing.name.as_str(), missing.nearest.as_deref()))
        .collect();
    assert_eq!(found, cases);
    assert_eq!(missing[0].code(), "EW2003");
    let text = missing[1].to_string();
    assert!(
        text.contains("`wasi:io/stream@0.2.6`") && text.contains("nearest"),
        "{text}"
    );
}

#[test]
fn core_module_is_told_how_to_become_a_component() {
    let error = facts_of("(module)").unwrap_err();
    assert_eq!(error.code(), "EW2002");
    assert!(
        error.to_string().contains("wasm-tools component new"),
        "{error}"
    );
}

#[test]
fn bytes_that_are_not_wasm_are_named_for_what_they_are() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"\x7fELF\x02\x01\x01", "machine code"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"  (component)", "text"),
        (b"<html>", "something else"),
        (b"\0as", "something else"),
    ] {
        let error = inspect(bytes, InspectLimits::default()).unwrap_err();
        assert_eq!(error.code(), "EW2001");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn component_over_the_size_limit_is_refused_before_it_is_read() {
    let limits = InspectLimits {
        component_bytes_max: 7,
    };
    let error = inspect(b"not even wasm", limits).unwrap_err();
    assert_eq!(error.code(), "EW2004");
    assert!(error.to_string().contains("13 bytes"), "{error}");
}

#[test]
fn every_truncation_and_every_flipped_byte_is_an_error_or_a_component_never_a_panic() {
    let bytes = wat::parse_str(exporting(&[H02])).unwrap();
    let whole = inspect(&bytes, InspectLimits::default()).unwrap();
    for len in 0..bytes.len() {
        // Cut after its last export it is still the same component, without its names for people.
        if let Ok(cut) = inspect(&bytes[..len], InspectLimits::default()) {
            assert_eq!(cut.exports, whole.exports, "{len} bytes");
        }
    }
    for (index, bit) in (0..bytes.len()).flat_map(|i| (0..8).map(move |bit| (i, bit))) {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1 << bit;
        if let Err(error) = inspect(&flipped, InspectLimits::default()) {
            assert!(error.code().starts_with("EW20"));
        }
    }
}

#[test]
fn invalid_component_is_told_where() {
    let mut bytes = wat::parse_str(exporting(&[H02])).unwrap();
    bytes.truncate(20);
    let error = inspect(&bytes, InspectLimits::default()).unwrap_err();
    assert_eq!(error.code(), "EW2006");
    assert!(error.to_string().contains("at byte 0x"), "{error}");
}
