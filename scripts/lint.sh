#!/usr/bin/env bash
# Formatting, clippy with warnings as errors, shell syntax, and that the tests docs/invariants.md names exist.
# Warnings are errors here and not in the source, so that an unfinished change still builds.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- --deny warnings
for script in scripts/*.sh scripts/demo/*.sh .ci/run; do bash -n "$script"; done
scripts/invariants.sh
echo "lint: clean"
