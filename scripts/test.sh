#!/usr/bin/env bash
# Every test on this machine. Installs what the tests need (Debian packages, the Kubernetes tools from
# their Go modules), builds once, then runs the long lanes first and side by side where cores allow.
#
#   scripts/test.sh            everything
#   scripts/test.sh sim|e2e    one lane; SCHEDULES=n and SEED=n steer the simulation
set -euo pipefail
cd "$(dirname "$0")/.."
lane=${1:-all}
started=$SECONDS
timings=()

timed() { # NAME COMMAND...: runs it and remembers how long it took
  local name=$1 begun=$SECONDS status=0
  shift
  "$@" || status=$?
  timings+=("$(printf '%5ds  %s' $((SECONDS - begun)) "$name")")
  return $status
}

report() {
  printf '\nWhere the time went:\n'
  printf '%s\n' "${timings[@]}"
  printf '%5ds  in all\n' $((SECONDS - started))
}
trap report EXIT

if [ "$lane" != sim ]; then
  timed "install test dependencies" scripts/setup-test-deps.sh
  # Built beside cargo on purpose: the Go build waits for the disk where cargo waits for the linker.
  tools_log=$(mktemp)
  scripts/kube-tools.sh >"$tools_log" 2>&1 &
  tools=$!
fi
timed "build" cargo build --locked --workspace --all-targets
if [ "$lane" != sim ]; then
  status=0
  timed "kube-apiserver, etcd, kubectl (the rest of their build)" wait "$tools" || status=$?
  if [ "$status" = 0 ]; then
    LONGSHORE_KUBE_TOOLS=$(tail -n 1 "$tools_log")
    export LONGSHORE_KUBE_TOOLS
  elif [ "$status" = 3 ]; then
    echo "test: Go is missing, so the tests on a real kube-apiserver are skipped"
  else
    cat "$tools_log" >&2
    exit "$status"
  fi
fi

case $lane in
  all)
    timed "unit, property and contract tests" cargo test --locked --workspace --exclude longshore-tests
    # By itself: it takes every core, and the whole-system tests look at the clock.
    timed "simulation" cargo test --locked -p longshore-tests sim::
    timed "whole-system tests" cargo test --locked -p longshore-tests -- --skip sim::
    ;;
  sim) timed "simulation" cargo test --locked -p longshore-tests sim:: -- --nocapture ;;
  e2e) timed "end to end" cargo test --locked -p longshore-tests e2e:: -- --nocapture ;;
  *) echo "test: unknown lane $lane" >&2; exit 2 ;;
esac
