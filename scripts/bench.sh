#!/usr/bin/env bash
# Measures what Longshore costs beside what the same thing costs without it, and prints a table.
# There is no gate. docs/benchmarks.md tells what each row means.
#
#   scripts/bench.sh                  everything, some minutes
#   BENCH_QUICK=1 scripts/bench.sh    a smoke run: few runs, figures that mean little
#   BENCH_ROWS=acf scripts/bench.sh   some rows only
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
# What is measured is what would be shipped.
echo "bench: building for release; the first time takes minutes" >&2
cargo build --locked --release --quiet -p longshore-tests --bins -p longshore-standalone --bin longshore
exec "$target/release/bench"
