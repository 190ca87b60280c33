#!/usr/bin/env bash
# Formatting, clippy with warnings as errors, and shell syntax. Warnings are errors here and not in the
# source, so that an unfinished change still builds.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- --deny warnings
for script in scripts/*.sh .ci/run; do bash -n "$script"; done
echo "lint: clean"
