#!/usr/bin/env bash
# Builds kube-apiserver, kubectl and etcd for the tests, once per version, and prints the directory
# that holds them as its only line on stdout.
#
# They come from source through the Go module proxy, because that works wherever package registries
# do. Cold it takes about six minutes on two cores; afterwards it is a look at a stamp.
#
#   LONGSHORE_TOOLS_DIR   where builds are kept (default: <repo>/target/tools)
#   exit 3                there is no Go here: callers skip what needs it
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source_dir=$repo/tests/kube-tools
version=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2; exit }' "$source_dir/go.mod")
tools_root=${LONGSHORE_TOOLS_DIR:-$repo/target/tools}
tools=$tools_root/kube-$version

# The sources' own hash is the stamp, so a changed etcd version or main.go is rebuilt as well.
sources=(go.mod go.sum main.go etcd/go.mod etcd/go.sum etcd/main.go)
wanted=$(cd "$source_dir" && cat "${sources[@]}" | sha256sum | cut -d' ' -f1)
built() { [[ $(cat "$tools/stamp" 2>/dev/null) == "$wanted" ]]; }

if ! built; then
    if ! command -v go >/dev/null; then
        echo "kube-tools: go is not installed, so kube-apiserver, kubectl and etcd cannot be built" >&2
        exit 3
    fi
    mkdir -p "$tools"
    # Two test runs may ask at once: the second waits here and finds the work done. The lock goes
    # with this process; the builds below do not inherit it.
    exec 9>"$tools_root/.kube-$version.lock"
    flock 9
    if ! built; then
        echo "kube-tools: building Kubernetes $version and etcd into $tools (minutes, once)" >&2
        rm -f "$tools/stamp"
        build() { # <module dir> <output> <ldflags>
            (cd "$source_dir/$1" && go build -buildvcs=false -ldflags "-s -w $3" -o "$tools/$2.new" . 9>&- >&2)
            mv "$tools/$2.new" "$tools/$2" # never a half-written program under its final name
        }
        build etcd etcd ""
        build . kube "-X k8s.io/component-base/version.gitVersion=$version"
        for name in kube-apiserver kubectl; do
            ln -sfn kube "$tools/$name"
        done
        echo "$wanted" >"$tools/stamp"
    fi
fi
echo "$tools"
