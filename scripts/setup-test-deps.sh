#!/usr/bin/env bash
# Installs what the tests need beyond Rust, on Debian 12 as root or by sudo. Only what is missing is
# installed, nothing is started, and every step is said aloud. Running it again does nothing.
#
# Debian 12's Go is too old to build Kubernetes, and new enough to fetch a newer Go from the module
# proxy, which scripts/kube-tools.sh has it do.
set -euo pipefail

missing=()
needs() { # <command> <package> <what for>
    # Root's PATH may lack the sbin directories under `su` and in some containers.
    if PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; then
        echo "have     $1"
    else
        echo "missing  $1: package $2, $3"
        missing+=("$2")
    fi
}

needs dockerd         docker.io       "private engines (brings containerd and runc)"
needs docker          docker.io       "the CLI that some tests drive"
needs iptables        iptables        "user-defined networks of an engine"
needs ip              iproute2        "a bridge for each private engine"
needs docker-registry docker-registry "a private registry"
needs htpasswd        apache2-utils   "the registry's accounts (bcrypt)"
needs busybox         busybox-static  "a shell inside test images"
needs go              golang-go       "kube-apiserver, etcd and kubectl, from source"

if ((${#missing[@]} == 0)); then
    echo "nothing to install"
    exit 0
fi
if ((EUID != 0)); then
    if command -v sudo >/dev/null; then
        echo "installing takes root: sudo $0"
        exec sudo -- env "PATH=$PATH" "$0"
    fi
    echo "run this as root to install: ${missing[*]}" >&2
    exit 1
fi

# docker.io and docker-registry start their services when installed. The tests bring their own
# engines, and a second set of iptables rules would only be in the way: deny starts for now.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    echo "placing  $policy for the time of the installation, so that no service is started"
    trap 'rm -f "$policy"; echo "removed  $policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
echo "done. Under systemd the services are enabled for the next boot:"
echo "systemctl disable --now docker containerd docker-registry, if you do not want them."
