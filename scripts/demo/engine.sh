# shellcheck shell=bash disable=SC2154 # variables of demo.sh
# Which Docker Engine the demo uses: the one that answers, else one of its own that goes with the demo.

engine_version() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null; }

# Sets DOCKER_HOST. An engine that the demo starts lies wholly in its directory.
find_engine() {
    local version
    export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
    if command -v docker >/dev/null && version=$(engine_version); then
        say "Docker Engine $version answers on $DOCKER_HOST: the demo uses it, and touches nothing it did not make."
        return
    fi
    say "No Docker Engine answers on $DOCKER_HOST."
    ((EUID == 0)) || fail "starting one needs root; run this as root, start Docker, or use DEMO_RUNTIME=sim"
    if ! PATH=$PATH:/usr/sbin command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
        install_engine
    fi
    if [[ -d /run/systemd/system ]] && systemctl start docker 2>/dev/null && version=$(engine_version); then
        say "Docker Engine $version was started as a service, and stays."
        return
    fi
    start_engine
}

install_engine() {
    local policy=/usr/sbin/policy-rc.d placed=''
    say "Installing Debian's docker.io (with containerd and runc): apt-get install docker.io"
    command -v apt-get >/dev/null || fail "there is no apt-get here; install Docker, or use DEMO_RUNTIME=sim"
    # The package would start its service while it is installed. Where no systemd runs that fails halfway;
    # where one does, the service is started afterwards, aloud.
    if [[ ! -e $policy ]]; then
        say "  with $policy in place meanwhile, so that nothing is started behind your back"
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        placed=yes
    fi
    local status=0
    {
        DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iproute2
    } >"$dir/apt.log" 2>&1 || status=$?
    [[ -z $placed ]] || rm -f "$policy"
    if ((status != 0)); then
        tail -n 20 "$dir/apt.log" >&2
        fail "docker.io could not be installed"
    fi
    happened "docker.io is installed (and stays)"
}

start_engine() {
    local version
    say "Starting a Docker Engine by hand, in $dir/engine; it ends with the demo."
    mkdir -p "$dir/engine"
    [[ -e /sys/class/net/docker0 ]] || bridge_is_ours=yes
    export DOCKER_HOST=unix://$dir/engine/docker.sock
    # No iptables rules and no forwarding: ports published on this machine are docker-proxy's, the demo's
    # containers need no way out, and the machine stays as it was.
    PATH=$PATH:/usr/sbin:/sbin setsid dockerd \
        --host "$DOCKER_HOST" --data-root "$dir/engine/data" --exec-root "$dir/engine/exec" \
        --pidfile "$dir/engine/docker.pid" --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        >"$dir/engine.log" 2>&1 &
    engine_pid=$!
    engine_answers() {
        kill -0 "$engine_pid" 2>/dev/null || { tail -n 15 "$dir/engine.log" >&2; fail "dockerd ended"; }
        version=$(engine_version)
    }
    await 60 "an answer of the engine" engine_answers
    happened "Docker Engine $version answers on $DOCKER_HOST"
}

# Stops the engine that the demo started, if it did, and takes what an engine leaves behind.
stop_engine() {
    [[ -n ${engine_pid:-} ]] || return 0
    kill "$engine_pid" 2>/dev/null || true
    local deadline=$((SECONDS + 20))
    while kill -0 "$engine_pid" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.1; done
    kill -9 "$engine_pid" 2>/dev/null || true
    awk -v below="$dir/engine/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r mount; do umount --lazy "$mount"; done
    if [[ -n ${bridge_is_ours:-} && -e /sys/class/net/docker0 ]]; then
        PATH=$PATH:/usr/sbin:/sbin ip link delete docker0
    fi
}
