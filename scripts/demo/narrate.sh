# shellcheck shell=bash disable=SC2154 # variables of demo.sh
# How the demo speaks, and how it waits: on what it can see, never for a fixed time.

if [[ -t 1 ]]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' plain=''
fi

chapter() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }
happened() { printf '%s   ✓ %s%s\n' "$green" "$*" "$plain"; }
indented() { sed "s/^/   ${dim//\\/}/; s/\$/${plain}/"; }

# Shows a command as one would type it, runs it, and shows what it says.
run() {
    local shown=$*
    printf '%s   $ %s%s\n' "$bold" "${shown//"$longshore"/longshore}" "$plain"
    local output status=0
    output=$("$@" 2>&1) || status=$?
    [[ -z $output ]] || indented <<<"$output"
    return "$status"
}

# Something the demo claims did not happen: the end.
fail() {
    printf '%s   ✗ %s%s\n' "$red" "$*" "$plain" >&2
    exit 1
}

# await SECONDS WHAT COMMAND...: until the command succeeds. With `seen` set by it, a failure tells that.
await() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    seen=''
    until "$@"; do
        ((SECONDS < deadline)) || fail "$what did not happen in time${seen:+; last seen: $seen}"
        sleep 0.1
    done
}

# await_status SECONDS WHAT PATTERN: until the workload's row matches, showing it whenever it changes.
await_status() {
    local deadline=$((SECONDS + $1)) what=$2 pattern=$3 row last=''
    while :; do
        row=$(workload_row) || row="(no answer)"
        if [[ $row != "$last" ]]; then
            last=$row
            indented <<<"$row"
        fi
        [[ $row =~ $pattern ]] && return
        ((SECONDS < deadline)) || fail "$what did not happen in time"
        sleep 0.2
    done
}

# The workload's row without its columns' titles; the age is left out, because it always changes.
workload_row() {
    "$longshore" get workloads hello 2>/dev/null |
        awk 'NR > 1 { $NF = ""; print; found = 1 } END { exit !found }'
}

# What the web server on a port of this machine answers; nothing else than bash is needed for it.
answer() {
    local port=$1 line body=''
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' >&3
    while IFS= read -r -t 5 line <&3; do
        body=$line
    done
    exec 3>&- 3<&-
    printf '%s\n' "$body"
} 2>/dev/null

answers() { # PORT TEXT, for await
    seen=$(answer "$1") && [[ $seen == "$2" ]]
}

free_port() {
    local port
    for ((port = 8080; port < 8180; port++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
            echo "$port"
            return
        }
    done
    fail "no port between 8080 and 8179 is free"
}
