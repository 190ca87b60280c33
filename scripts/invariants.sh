#!/usr/bin/env bash
# docs/invariants.md names tests by package and path. Fails when one of them does not exist, or when one of the
# fifteen promises names none.
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/invariants.md
failed=0
named=0

complain() {
  echo "invariants: $*" >&2
  failed=1
}

while read -r package path; do
  named=$((named + 1))
  name=${path##*::}
  # Generic or not, a test takes its `fn` and its name on one line; cases of the contract are plain functions.
  found=$(grep -rEh -B6 "fn $name\(" --include='*.rs' "$package" || true)
  if [ -z "$found" ]; then
    complain "$package has no function $name"
  elif [[ $path != runtime_contract::*::* ]] && ! grep -qE '#\[(tokio::)?test' <<<"$found"; then
    complain "$name of $package is no test"
  fi
done < <(sed -nE 's/^- (plan|crds|bus|agent|controller|standalone|tests) `([a-z0-9_:]+)`.*$/\1 \2/p' "$page")

# A list item the pattern above does not read would go unchecked.
items=$(grep -c '^- ' "$page")
[ "$named" = "$items" ] || complain "$items list items in $page, and $named of them name a test"
for promise in $(seq 15); do
  awk -v head="## $promise. " '
    index($0, "## ") == 1 { inside = index($0, head) == 1 }
    inside && /^- / { tests++ }
    END { exit tests == 0 }
  ' "$page" || complain "promise $promise names no test"
done

[ "$failed" = 0 ] && echo "invariants: all $named tests exist"
exit "$failed"
