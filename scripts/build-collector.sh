#!/usr/bin/env bash
# Builds the OpenTelemetry Collector that tests run against, with OpenTelemetry's own builder from the Go module proxy, into
# a cache outside the tree: nobody packages one with just these parts. FOREWARN_COLLECTOR=/path/to/collector overrides it.
#
# A cold build fetches some 1 GiB of modules and takes ten to twenty minutes on two cores; later ones find it built. Where it
# does not work this says so and succeeds: the tests that need a Collector then say that they are skipped.
set -euo pipefail

# All parts of one release. Contrib's and the core's numbers go together; stable modules count from 1.
version=0.155.0
stable=1.61.0
# What hostmetrics needs of contrib's internals; module proxies do not have these three of every release.
internals=0.149.0
# More compilers at once than this need more memory than a small machine has.
jobs=${FOREWARN_COLLECTOR_JOBS:-2}
time_limit=${FOREWARN_COLLECTOR_TIMEOUT:-3000}

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/forewarn-test-peers
# By what it is built from, so that a change here is one there.
built=$cache/collector-$version-$(cksum <"$0" | cut -d ' ' -f 1)
program=$cache/bin-collector/otelcol

say() {
    echo "build-collector: $*"
}

give_up() {
    say "$*; tests that need a Collector are skipped"
    exit 0
}

if [ -n "${FOREWARN_COLLECTOR:-}" ] && [ -x "$FOREWARN_COLLECTOR" ]; then
    say "$FOREWARN_COLLECTOR is used"
    exit 0
fi
if [ -x "$program" ] && [ "$(readlink -f "$program")" = "$(readlink -f "$built/otelcol" 2>/dev/null)" ]; then
    say "$program is $version"
    exit 0
fi
command -v go >/dev/null || give_up "there is no go here"

mkdir -p "$cache"
# One build at a time; a second one waits and finds it done.
exec 9>"$cache/collector.lock"
flock -w "$time_limit" 9 || give_up "another build has not ended"
if [ -x "$built/otelcol" ]; then
    mkdir -p "$cache/bin-collector"
    ln -sfn "$built/otelcol" "$program"
    say "$program is $version"
    exit 0
fi

work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
contrib=github.com/open-telemetry/opentelemetry-collector-contrib
core=go.opentelemetry.io/collector
cat >"$work/builder.yaml" <<END
dist: {name: otelcol, output_path: $work/out, version: $version}
conf_resolver: {default_uri_scheme: file}
receivers:
  - gomod: $core/receiver/otlpreceiver v$version
  - gomod: $contrib/receiver/hostmetricsreceiver v$version
exporters:
  - gomod: $core/exporter/otlpexporter v$version
  - gomod: $core/exporter/otlphttpexporter v$version
  - gomod: $contrib/exporter/kafkaexporter v$version
  - gomod: $contrib/exporter/prometheusremotewriteexporter v$version
providers:
  - gomod: $core/confmap/provider/fileprovider v$stable
replaces:
  - $contrib/internal/gopsutilenv => $contrib/internal/gopsutilenv v$internals
  - $contrib/pkg/winperfcounters => $contrib/pkg/winperfcounters v$internals
  - $contrib/pkg/golden => $contrib/pkg/golden v$internals
END
export GOMAXPROCS=$jobs GOFLAGS="-p=$jobs -buildvcs=false -trimpath" GOTOOLCHAIN=local CGO_ENABLED=0
started=$SECONDS
in_time() {
    timeout --kill-after=10 "$time_limit" nice "$@" </dev/null >"$work/log" 2>&1
}
in_time go run "$core/cmd/builder@v$version" --config="$work/builder.yaml" --ldflags='-s -w' ||
    give_up "the build failed: $(tail -n 3 "$work/log" | tr '\n' ' ')"
"$work/out/otelcol" --version >/dev/null || give_up "what was built does not run here"

# In one step, so that a test that looks meanwhile finds all or nothing.
mkdir -p "$work/done" "$cache/bin-collector"
mv "$work/out/otelcol" "$work/done/otelcol"
rm -rf "$built"
mv -T "$work/done" "$built"
ln -sfn "$built/otelcol" "$program"
say "the Collector $version is $program, after $((SECONDS - started)) s"
