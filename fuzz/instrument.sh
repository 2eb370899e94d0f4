#!/bin/sh
# As instrument-only.sh, and optimised: for runs that take longer than the build.
exec "$(dirname "$0")/instrument-only.sh" "$@" -Copt-level=2 -Ccodegen-units=1
