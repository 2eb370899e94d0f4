//! A guest of WebAssembly text: what its worlds share and what one of them adds, made one component.

use std::path::Path;

use anyhow::Context;

/// What all worlds of a guest share.
const SHARED: &str = "core.wat";

/// Makes the component of `world` from the text in `source`.
///
/// # Errors
/// When a file can't be read or written, or the text isn't a component's.
pub(super) fn build(source: &Path, world: &str, to: &Path) -> anyhow::Result<()> {
    let own = format!("{world}.wat");
    let shared = read(&source.join(SHARED))?;
    let text = joined(&shared, &read(&source.join(&own))?);
    let component = wat::parse_str(text).with_context(|| {
        format!(
            "{SHARED} and {own} in {} are no component",
            source.display()
        )
    })?;
    std::fs::write(to, component).with_context(|| format!("could not write {}", to.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

fn joined(shared: &str, own: &str) -> String {
    // The parenthesis is on the first line: then an error's line is the file's, or is past its end.
    format!("(component {shared}\n{own})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn world_may_name_what_is_shared() {
        let text = joined("(core module $m)", "(core instance (instantiate $m))");
        let component = wat::parse_str(text).expect("it is a component");
        assert!(component.starts_with(b"\0asm\x0d\0\x01\0"));
    }
}
