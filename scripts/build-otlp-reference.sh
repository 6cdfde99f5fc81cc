#!/usr/bin/env bash
# Builds scripts/otlp-reference, Prometheus' own OTLP write handler without the rest of Prometheus, from the Go module proxy
# into a cache outside the tree. FOREWARN_OTLP_REFERENCE=/path/to/program overrides it.
#
# Where it does not work this says so and succeeds: the tests that compare with it then say that they are skipped.
set -euo pipefail

# Prometheus 3.5.
version=0.305.3
jobs=${FOREWARN_COLLECTOR_JOBS:-2}
time_limit=${FOREWARN_COLLECTOR_TIMEOUT:-3000}

sources=$(cd "$(dirname "$0")/otlp-reference" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/forewarn-test-peers
program=$cache/bin-otlp-reference/otlp-reference
stamp="$version $(cksum <"$sources/main.go")"

say() {
    echo "build-otlp-reference: $*"
}

give_up() {
    say "$*; tests that compare with it are skipped"
    exit 0
}

if [ -n "${FOREWARN_OTLP_REFERENCE:-}" ] && [ -x "$FOREWARN_OTLP_REFERENCE" ]; then
    say "$FOREWARN_OTLP_REFERENCE is used"
    exit 0
fi
command -v go >/dev/null || [ -x "$program" ] || give_up "there is no go here"
mkdir -p "$cache"
# One build at a time; a second one waits and finds it done.
exec 9>"$cache/otlp-reference.lock"
flock -w "$time_limit" 9 || give_up "another build has not ended"
if [ -x "$program" ] && [ "$(cat "$cache/bin-otlp-reference/stamp" 2>/dev/null)" = "$stamp" ]; then
    say "$program is of Prometheus $version"
    exit 0
fi

work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$sources/main.go" "$work/"
export GOMAXPROCS=$jobs GOFLAGS="-p=$jobs -buildvcs=false -trimpath -mod=mod" GOTOOLCHAIN=local CGO_ENABLED=0
started=$SECONDS
in_time() {
    (cd "$work" && timeout --kill-after=10 "$time_limit" nice "$@" </dev/null >>"$work/log" 2>&1)
}
{
    in_time go mod init otlp-reference &&
        in_time go get "github.com/prometheus/prometheus@v$version" &&
        mkdir "$work/done" &&
        in_time go build -ldflags='-s -w' -o done/otlp-reference .
} || give_up "the build failed: $(tail -n 3 "$work/log" | tr '\n' ' ')"
"$work/done/otlp-reference" --help 2>/dev/null || [ $? -eq 0 ] || give_up "what was built does not run here"
echo "$stamp" >"$work/done/stamp"

# In one step, so that a test that looks meanwhile finds all or nothing.
rm -rf "$cache/bin-otlp-reference"
mv -T "$work/done" "$cache/bin-otlp-reference"
say "$program is of Prometheus $version, after $((SECONDS - started)) s"
