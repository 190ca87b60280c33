#!/usr/bin/env bash
# Longshore in two minutes: a site, a device, a workload, and what happens when things break.
#
#   scripts/demo.sh              with a terminal the system is left running, with what to try next;
#                                without one everything is stopped and removed, and the exit status says
#                                whether all that was claimed did happen
#   scripts/demo.sh clean DIR    ends a demo that was left running
#   DEMO_RUNTIME=sim             without a container engine
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/demo/narrate.sh
source scripts/demo/engine.sh

runtime=${DEMO_RUNTIME:-docker}
target=${CARGO_TARGET_DIR:-$PWD/target}
longshore=$target/debug/longshore
dir='' site_pid='' site_uid='' engine_pid='' bridge_is_ours='' left_running='' image=hello images=()

start_site() {
    # In a session of its own: it shall outlive the terminal when it is left running.
    setsid "$longshore" up --dir "$dir/site" --runtime "$runtime" \
        ${DOCKER_HOST:+--runtime-endpoint "$DOCKER_HOST"} >>"$dir/up.log" 2>&1 &
    site_pid=$!
    # Out of the job table: bash would announce the kill -9 in its own words.
    disown "$site_pid"
    site_is_ready() {
        kill -0 "$site_pid" 2>/dev/null || fail "longshore up ended"
        grep -q "\"pid\": $site_pid\b" "$dir/site/ready.json" 2>/dev/null
    }
    await 60 "longshore up getting ready" site_is_ready
    export KUBECONFIG=$dir/site/kubeconfig
}

site_is_gone() { ! kill -0 "$site_pid" 2>/dev/null; }

# Returns when its lock on the directory is gone too: a signal is only on its way when kill returns.
kill_site() {
    kill -9 "$site_pid"
    await 10 "the end of longshore up" site_is_gone
}

# What tells this site's containers from those of others.
site_identity() {
    "$longshore" get secrets longshore-site -n longshore-system -o yaml |
        awk '/^data:/ { data = 1 } data && $1 == "uid:" { print $2; exit }' | base64 -d
}

# manifest IMAGE DEADLINE: examples/hello's workload with that image, on a port that is free.
manifest() {
    sed -e "s|image: hello:1|image: $1|" -e "s|hostPort: 8080|hostPort: $port|" \
        -e "s|progressDeadlineSeconds: 120|progressDeadlineSeconds: $2|" examples/hello/workload.yaml
}

apply() { # IMAGE DEADLINE
    manifest "$1" "$2" >"$dir/hello/workload.yaml"
    run "$longshore" apply -f "$dir/hello"
}

# Of this site alone: somebody may run another one with a workload of that name.
containers() { docker ps -a --filter "label=longshore.dev/site=$site_uid" --format '{{.Names}} {{.Image}}'; }
only_container_is() { # TEXT, for await
    seen=$(containers | paste -sd' ') && [[ $seen == "$1" ]]
}

load_images() {
    # Somebody may have images of these names already, and keeps them.
    image=hello
    [[ -z $(docker image ls -q "$image") ]] || image="longshore-demo-hello"
    load_image 1 v1
    load_image 2 v2
    load_image broken v3 HEALTH=fail
}

load_image() { # TAG VERSION [NAME=VALUE]...
    local tag=$1
    shift
    images+=("$image:$tag")
    "$target/debug/demo_image" "$image:$tag" "$@" | docker load --quiet | indented
}

tour() {
    chapter "A new image"
    say "The old container is stopped before the new one starts, and removed when that one is healthy."
    apply "$image:2" 120
    await_status 60 "the new image" '1/1 Ready'
    await 10 "its answer" answers "$port" "hi from v2"
    await 10 "the old container's end" only_container_is "hello.web $image:2"
    happened "http://127.0.0.1:$port answers: hi from v2"

    chapter "A broken image"
    say "It starts and never becomes healthy. After its deadline (15 s here) the old container runs again."
    local before after
    before=$(docker inspect -f '{{.Id}}' hello.web)
    apply "$image:broken" 15
    await_status 60 "the rollback" 'RolledBack'
    "$longshore" get workloads hello -o wide | indented
    after=$(docker inspect -f '{{.Id}}' hello.web)
    [[ $before == "$after" ]] || fail "another container runs than before"
    await 10 "the old answer" answers "$port" "hi from v2"
    happened "the same container as before answers: hi from v2"
    apply "$image:2" 120
    await_status 30 "being ready again" '1/1 Ready'

    chapter "The container is removed behind Longshore's back"
    local begun=${EPOCHREALTIME/./}
    run docker rm -f hello.web
    await 5 "the container's return" answers "$port" "hi from v2"
    happened "back after $(((${EPOCHREALTIME/./} - begun) / 1000)) ms"

    chapter "kill -9 of longshore up in the middle of a change"
    local since
    since=$(date +%s.%N)
    apply "$image:1" 120
    # Not a pipe: the watcher would notice the reader's end only with the next event, and none comes.
    local created watcher
    exec {created}< <(exec docker events --since "$since" --filter type=container --filter event=create --format '{{.ID}}')
    watcher=$!
    read -r -t 60 -u "$created" _ || fail "no container was created within 60 s"
    kill_site
    kill "$watcher" && exec {created}<&-
    say "   the new container was just created, and longshore up (pid $site_pid) is dead:"
    containers | indented
    start_site
    say "   started again (pid $site_pid); it finishes what it had begun:"
    await_status 60 "the end of the change" '1/1 Ready'
    await 10 "the new answer" answers "$port" "hi from v1"
    await 10 "a single container" only_container_is "hello.web $image:1"
    local creates
    creates=$(docker events --since "$since" --until "$(date +%s.%N)" --filter type=container \
        --filter event=create --format '{{.ID}}' | wc -l)
    [[ $creates == 1 ]] || fail "$creates containers were created for one change"
    happened "one container was created for the change, and it answers: hi from v1"
}

simulated_tour() {
    chapter "A new image"
    local before
    before=$(workload_row)
    apply "$image:2" 120
    another_revision() { seen=$(workload_row) && [[ $seen != "$before" && $seen =~ '1/1 Ready' ]]; }
    await 60 "the new image" another_revision
    workload_row | indented

    chapter "kill -9 of longshore up in the middle of a change"
    say "The simulated engine dies with it, so it begins with an empty device."
    apply "$image:1" 120
    kill_site
    start_site
    await_status 60 "the end of the change" '1/1 Ready'
    happened "started again, it brought about what was declared"
}

what_next() {
    chapter "It is still running. What to try next"
    cat <<EOT
   export KUBECONFIG=$KUBECONFIG PATH=$target/debug:\$PATH${DOCKER_HOST:+ DOCKER_HOST=$DOCKER_HOST}
   longshore get workloads -o wide
   longshore diff -f $dir/hello        # after you changed the image in there
EOT
    [[ $runtime == sim ]] || cat <<EOT
   docker pause hello.web              # undone at once; see the events:
EOT
    if command -v kubectl >/dev/null; then
        cat <<EOT
   kubectl describe workload hello
   kubectl edit workload hello
   kubectl explain workload.spec.template.containers
EOT
    else
        say "   longshore get events            # kubectl is not installed; it would work as well"
    fi
    say "   scripts/demo.sh clean $dir   # the end of it"
    declare -p dir site_pid site_uid images runtime engine_pid bridge_is_ours DOCKER_HOST 2>/dev/null >"$dir/state" || true
    left_running=yes
}

farewell() {
    chapter "The end: delete, and stop in order"
    run "$longshore" delete -f "$dir/hello"
    workload_is_gone() { ! seen=$(workload_row); }
    await 60 "the workload's end" workload_is_gone
    if [[ $runtime == docker ]]; then
        await 10 "the end of its containers" only_container_is ""
        happened "its container is gone"
    fi
    kill "$site_pid"
    await 20 "the end of longshore up" site_is_gone
    [[ ! -e $dir/site/ready.json ]] || fail "longshore up did not stop in order"
    happened "longshore up stopped in order"
    site_pid=''
}

# Whatever happened: nothing stays but what is meant to.
clean_up() {
    local status=$?
    trap - EXIT INT TERM
    [[ -z ${left_running:-} ]] || exit "$status"
    if ((status != 0)) && [[ -s $dir/up.log ]]; then
        printf '\nThe last lines of longshore up:\n' >&2
        tail -n 15 "$dir/up.log" >&2
    fi
    if [[ -n ${site_pid:-} ]]; then
        kill -9 "$site_pid" 2>/dev/null || true
    fi
    if [[ $runtime == docker && -n ${images[*]:-} ]]; then
        docker ps -aq --filter "label=longshore.dev/site=${site_uid:-none}" | xargs -r docker rm -f >/dev/null || true
        docker image rm "${images[@]}" >/dev/null 2>&1 || true
    fi
    stop_engine || true
    rm -rf "$dir"
    exit "$status"
}

main() {
    dir=$(mktemp -d /tmp/longshore-demo.XXXXXX)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    chapter "Longshore: a container platform for devices, in two minutes"
    case $runtime in
        docker) find_engine ;;
        sim) say "DEMO_RUNTIME=sim: a simulated engine, nothing real runs." && unset DOCKER_HOST ;;
        *) fail "DEMO_RUNTIME is docker or sim, not $runtime" ;;
    esac
    say "Building (the first time takes minutes) ..."
    cargo build --locked --quiet -p longshore-standalone --bin longshore
    cargo build --locked --quiet -p longshore-tests --bin demo_image

    chapter "longshore up: API server, controller and this machine's agent in one process"
    start_site
    run "$longshore" get devices
    site_uid=$(site_identity)
    [[ -n $site_uid ]] || fail "the site has no identity"
    mkdir "$dir/hello"
    cp examples/hello/secret.yaml "$dir/hello/"
    port=$(free_port)
    if [[ $runtime == docker ]]; then
        say "Three small images, made here; no registry is needed:"
        load_images
    fi

    chapter "examples/hello: one web server, declared"
    manifest "$image:1" 120 | indented
    apply "$image:1" 120
    await_status 60 "the workload turning Ready" '1/1 Ready'
    if [[ $runtime == docker ]]; then
        await 10 "its answer" answers "$port" "hi from v1"
        happened "http://127.0.0.1:$port answers: hi from v1"
        tour
    else
        simulated_tour
    fi
    if [[ -t 1 ]]; then what_next; else farewell; fi
}

if [[ ${1:-} == clean ]]; then
    [[ -f ${2:-}/state ]] || fail "usage: scripts/demo.sh clean DIR, with the DIR that the demo told"
    # shellcheck source=/dev/null
    source "$2/state"
    clean_up
fi
main
