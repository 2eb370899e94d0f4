#!/bin/sh
# Stands in rustc's place for this workspace's crates (`build.rustc-workspace-wrapper`), so that one build compiles them, lints
# them and makes their docs, and dependencies are compiled once for all of it: `cargo clippy` and `cargo doc` would each
# have them checked again.
set -eu
rustc=$1
shift

# Clippy is rustc that looks at more, and optimises less of what it looks at.
clippy-driver "$rustc" "$@" -Dwarnings

# Docs are made of what `cargo doc` would make them of: libraries and programs that ship, and no tests.
[ -n "${EVERWARM_DOCS:-}" ] || exit 0
case " $* " in
*" --test "*) exit 0 ;;
*" crates/"*"/src/lib.rs "* | *" crates/"*"/src/main.rs "*) ;;
*) exit 0 ;;
esac

# What only concerns machine code is left out, and so are lints that rustdoc doesn't know.
value_of=
for argument in "$@"; do
    shift
    case "$value_of" in
    -C | --emit | --out-dir) value_of= && continue ;;
    esac
    case "$argument" in
    -C | --emit | --out-dir) value_of=$argument ;;
    -C* | --emit=* | --out-dir=* | --*=clippy::*) ;;
    *) set -- "$@" "$argument" ;;
    esac
done
# A program has no public items: all of its docs are for who reads it.
case " $* " in
*"/src/main.rs "*) set -- "$@" --document-private-items ;;
esac
exec rustdoc "$@" -Dwarnings --out-dir "$EVERWARM_DOCS"
