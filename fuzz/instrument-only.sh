#!/bin/sh
# Runs rustc with the coverage that libFuzzer steers by. Cargo calls it for this workspace's crates only
# (`build.rustc-workspace-wrapper`), so that dependencies aren't built again. Stable rustc has the LLVM pass, if not
# the flag for it.
case " $* " in
# What is linked without libFuzzer, which has the pass's functions.
*" --crate-name build_script_"* | *" --crate-type proc-macro "* | *" --crate-name features_of_tests "*) exec "$@" ;;
esac
exec "$@" \
    --cfg fuzzing \
    -Cdebug-assertions=on -Coverflow-checks=on \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
