#!/usr/bin/env bash
# Sets Vaani up in this checkout, serves it, and starts it again when it fails.
#
#   deploy/runpod/start.sh [--config FILE] [--set SECTION.KEY=VALUE]...
#
# For a pod of RunPod's PyTorch template, and any Debian or Ubuntu: as root, without systemd or
# Docker. It may be run again at any time: what is done is not done twice, and only one serves.
# VAANI_LOG names the log (out/vaani.log), PYTHON the Python to use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

log=${VAANI_LOG:-out/vaani.log}
recent='import sys; sys.exit(sys.version_info < (3, 11))'
settings=(--config configs/runpod.yaml "$@")

say() { printf 'start.sh: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

install() { # packages of the system, all or none
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The first Python that is recent enough, rather one that has PyTorch.
find_python() {
    local python found=
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        "$python" -c "$recent" 2>/dev/null || continue
        if "$python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))'; then
            found=$python
            break
        fi
        found=${found:-$python}
    done
    echo "$found"
}

set_up() {
    local python
    # The checkout may lie on a volume that outlives the image with the Python it was set up with.
    if [ -e .venv ] && ! .venv/bin/python -c "$recent" 2>/dev/null; then
        say "the Python of .venv is gone: setting it up again"
        rm -rf .venv
    fi
    command -v make >/dev/null || install make || fail "make is needed"
    if [ ! -x .venv/bin/pip ]; then
        python=$(find_python)
        if [ -z "$python" ]; then
            install python3 python3-venv || true
            [ -n "$(find_python)" ] || install python3.11 python3.11-venv || true
            python=$(find_python)
            [ -n "$python" ] || fail "Python 3.11 or later is needed"
        fi
        if ! "$python" -c 'import ensurepip' 2>/dev/null; then
            install "$(basename "$python")-venv" || fail "$python cannot make an environment"
        fi
        # PyTorch is gigabytes: one that is here already is not installed again.
        if "$python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))'; then
            say "using the PyTorch of $python"
            "$python" -m venv --clear --system-site-packages .venv
        else
            "$python" -m venv --clear .venv
        fi
    fi
    make --silent setup
}

serve() {
    local began code pause=1
    while true; do
        began=$SECONDS
        .venv/bin/python run.py serve "${settings[@]}" &
        server=$!
        code=0
        wait "$server" || code=$?
        if [ "$stopping" ]; then
            wait "$server" || true # the first wait was cut short by the signal
            say "stopped"
            exit 0
        fi
        server=
        case $code in
            0) say "the server ended"; exit 0 ;;
            2) fail "the settings are wrong: not started again" ;;
        esac
        [ $((SECONDS - began)) -lt 60 ] || pause=1
        say "the server ended with code $code; starting it again in $pause s"
        sleep "$pause" &
        wait $! || true # unlike sleep itself, cut short by a signal
        pause=$((pause < 16 ? pause * 2 : 30))
    done
}

stop() {
    stopping=yes
    if [ "$server" ]; then kill -TERM "$server" 2>/dev/null || true; else exit 0; fi
}

mkdir -p "$(dirname "$log")" out
exec 9>out/start.lock
flock -n 9 || { say "it runs already in this checkout: see $log"; exit 0; }
if [ -f "$log" ] && [ "$(stat -c %s "$log")" -gt 10000000 ]; then mv "$log" "$log.1"; fi
# tee outlives the signals that end the rest, and writes down how it ended.
exec > >(trap '' INT TERM; exec tee -a "$log" 9>&-) 2>&1

stopping='' server=''
trap stop INT TERM
say "$(date -Is)"
set_up
# Says where the page is, which ports are mapped, and what to change. Wrong settings end it here.
code=0
.venv/bin/python run.py doctor "${settings[@]}" || code=$?
[ "$code" != 2 ] || fail "the settings are wrong"
serve
