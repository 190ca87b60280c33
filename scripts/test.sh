#!/usr/bin/env bash
# Every test on this machine. Installs what the tests need (Debian packages, the Kubernetes tools from
# their Go modules), builds once, then runs the lanes: those that use all cores while the Kubernetes tools
# are still being built, and the whole-system tests, some of which measure seconds, alone at the end.
#
#   scripts/test.sh                     everything
#   scripts/test.sh sim|e2e [FILTER]    one lane, or those of its tests whose names hold FILTER;
#                                       SCHEDULES=n and SEED=n steer the simulation
set -euo pipefail
cd "$(dirname "$0")/.."
lane=${1:-all}
filter=${2:-}
started=$SECONDS
timings=()
scratch=$(mktemp -d)

timed() { # NAME COMMAND...: runs it and remembers how long it took
  local name=$1 begun=$SECONDS status=0
  shift
  "$@" || status=$?
  timings+=("$(printf '%5ds  %s' $((SECONDS - begun)) "$name")")
  return $status
}

tests() { # NAME ARGUMENTS...: cargo test with these; that no test ran is a failure too
  local name=$1
  shift
  timed "$name" copied cargo test --locked "$@"
  if ! grep -Eq '^test result: ok\. [1-9][0-9]* passed' "$scratch/tests"; then
    echo "test: no test ran for: cargo test $*" >&2
    return 1
  fi
}

copied() { "$@" | tee "$scratch/tests"; }

finish() {
  printf '\nWhere the time went:\n'
  printf '%s\n' "${timings[@]}"
  printf '%5ds  in all\n' $((SECONDS - started))
  rm -rf "$scratch"
}
trap finish EXIT

if [ "$lane" != sim ]; then
  timed "install test dependencies" scripts/setup-test-deps.sh
  # Built beside cargo on purpose: the Go build waits for the disk where cargo waits for the linker.
  scripts/kube-tools.sh >"$scratch/kube-tools" 2>&1 &
  tools=$!
fi
timed "build" cargo build --locked --workspace --all-targets

await_tools() {
  local status=0
  timed "kube-apiserver, etcd, kubectl (the rest of their build)" wait "$tools" || status=$?
  if [ "$status" = 3 ]; then
    tail -n 1 "$scratch/kube-tools"
    echo "test: so the tests on a real kube-apiserver and with a real kubectl are skipped"
  elif [ "$status" != 0 ]; then
    cat "$scratch/kube-tools" >&2
    return "$status"
  fi
}

case $lane in
  all)
    tests "unit, property and contract tests" --workspace --exclude longshore-tests
    tests "simulation" -p longshore-tests sim::
    await_tools
    tests "whole-system tests" -p longshore-tests -- --skip sim::
    ;;
  sim) tests "simulation" -p longshore-tests "sim::$filter" -- --nocapture ;;
  e2e)
    await_tools
    tests "end to end" -p longshore-tests "e2e::$filter" -- --nocapture
    ;;
  *) echo "test: unknown lane $lane" >&2; exit 2 ;;
esac
