#!/usr/bin/env bash
# Builds kube-apiserver, etcd, and the newest and the oldest kubectl that the tests use, once per version,
# and prints the directory that holds them as its only line on stdout.
#
# They come from source through the Go module proxy, because that works wherever package registries
# do. Cold it takes about eight minutes on two cores; afterwards it is a look at stamps.
#
#   LONGSHORE_TOOLS_DIR   where builds are kept (default: <repo>/target/tools)
#   exit 3                no Go that is new enough, here or from the module proxy: callers skip what needs it
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source_dir=$repo/tests/kube-tools
version=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2; exit }' "$source_dir/go.mod")
old_version=$(awk '$1 == "k8s.io/kubectl" { sub("v0", "v1", $2); print $2; exit }' "$source_dir/kubectl-old/go.mod")
tools_root=${LONGSHORE_TOOLS_DIR:-$repo/target/tools}
tools=$tools_root/kube-$version

# Sets $go to a Go of at least the version that go.mod asks for. An older one fetches it as a module: Go from
# 1.21 on would do so itself, but Debian 12's 1.19 has to be told, and forgets that programs are executable.
find_go() {
    local needed found module directory
    if ! command -v go >/dev/null; then
        echo "kube-tools: go is not installed, so kube-apiserver, kubectl and etcd cannot be built" >&2
        return 3
    fi
    needed=$(awk '$1 == "go" { print $2; exit }' "$source_dir/go.mod")
    found=$(go_env GOVERSION)
    if [[ $(printf '%s\n' "$needed" "${found#go}" | sort -V | head -n 1) == "$needed" ]]; then
        go=$(command -v go)
        return 0
    fi
    module=golang.org/toolchain@v0.0.1-go$needed.linux-$(go_env GOARCH)
    echo "kube-tools: $found is too old; go$needed comes from the module proxy" >&2
    if ! (cd / && GOTOOLCHAIN=local GOFLAGS='' go mod download "$module" >&2); then
        echo "kube-tools: $module cannot be had, so kube-apiserver, kubectl and etcd cannot be built" >&2
        return 3
    fi
    directory=$(go_env GOMODCACHE)/$module
    chmod +x "$directory"/bin/* "$directory"/pkg/tool/*/* || return
    unset GOROOT # the old one's
    go=$directory/bin/go
}

go_env() { (cd / && GOTOOLCHAIN=local go env "$1"); } # in /, for a newer go.mod nearby is an error

# The sources' own hash is a program's stamp, so a changed version or main.go is built again.
wanted() { # <module dir>
    (cd "$source_dir/$1" && cat go.mod go.sum main.go | sha256sum | cut -d' ' -f1)
}

built() { # <module dir> <program>
    [[ $(cat "$tools/$2.stamp" 2>/dev/null) == "$(wanted "$1")" ]]
}

all_built() { built etcd etcd && built . kube && built kubectl-old kubectl-old; }

build() { # <module dir> <program> <ldflags>
    if built "$1" "$2"; then return; fi
    echo "kube-tools: building $2" >&2
    rm -f "$tools/$2.stamp"
    (cd "$source_dir/$1" &&
        GOTOOLCHAIN=local "$go" build -buildvcs=false -ldflags "-s -w $3" -o "$tools/$2.new" . 9>&- >&2)
    mv "$tools/$2.new" "$tools/$2" # never a half-written program under its final name
    wanted "$1" >"$tools/$2.stamp"
}

if ! all_built; then
    find_go || exit
    mkdir -p "$tools"
    # Two test runs may ask at once: the second waits here and finds the work done. The lock goes
    # with this process; the builds do not inherit it.
    exec 9>"$tools_root/.kube-$version.lock"
    flock 9
    if ! all_built; then
        echo "kube-tools: building Kubernetes $version and etcd into $tools (minutes, once)" >&2
        build etcd etcd ""
        build . kube "-X k8s.io/component-base/version.gitVersion=$version"
        build kubectl-old kubectl-old "-X k8s.io/component-base/version.gitVersion=$old_version"
        for name in kube-apiserver kubectl; do
            ln -sfn kube "$tools/$name"
        done
    fi
fi
echo "$tools"
