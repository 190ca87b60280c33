#!/usr/bin/env bash
# Dependencies point one way (docs/architecture.md): checked over cargo tree, package by package, so that
# feature unification in the workspace hides nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

# refuse PACKAGE CRATE...: PACKAGE must not link any of CRATE.
refuse() {
  local package=$1 tree
  shift
  tree=$(cargo tree --locked --edges normal,build --prefix none --package "$package" | awk '{print $1}' | sort -u)
  for crate in "$@"; do
    if grep -qx -- "$crate" <<<"$tree"; then
      echo "layers: $package must not link $crate:" >&2
      cargo tree --locked --edges normal,build --package "$package" --invert "$crate" | head -12 >&2 || true
      failed=1
    fi
  done
}

ours="longshore-crds longshore-plan longshore-bus longshore-agent longshore-controller longshore-standalone"
others() { # every crate of ours but those named
  local crate
  for crate in $ours; do [[ " $* " == *" $crate "* ]] || echo "$crate"; done
}

# shellcheck disable=SC2046 # the lists are words
{
  refuse longshore-plan $(others longshore-plan) tokio kube-client kube-core bollard axum hyper
  refuse longshore-crds $(others longshore-crds) tokio kube-client bollard axum hyper
  refuse longshore-bus $(others longshore-bus longshore-plan) kube-core kube-client k8s-openapi bollard axum
  refuse longshore-agent $(others longshore-agent longshore-bus longshore-plan) kube-core kube-client k8s-openapi axum
  refuse longshore-controller $(others longshore-controller longshore-bus longshore-plan longshore-crds) bollard axum
  # One TLS provider: two in one process panic at first use.
  refuse longshore-standalone aws-lc-rs aws-lc-sys openssl-sys native-tls
}
[ "$failed" = 0 ] && echo "layers: dependencies point one way"
exit "$failed"
