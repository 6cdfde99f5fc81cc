#!/usr/bin/env bash
# Puts Prometheus 3 where the tests look for it, without installing anything: Debian's stable suite has 2.42, and the tests
# that compare forewarn with Prometheus see less of PromQL with that one (docs/promql.md).
#
# The packages come from Debian's newest suite, from the mirror that this machine's apt uses, by lists of its own; their
# programs are unpacked into a cache outside the tree. Where that does not work this says so and succeeds: the tests then
# run against the Prometheus that is installed. FOREWARN_PROMETHEUS=/path/to/prometheus overrides both.
set -euo pipefail

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/forewarn-test-peers
suite=sid

version() {
    "$1" --version 2>&1 | sed -n 's/^prometheus, version \([^ ]*\).*/\1/p'
}

say() {
    echo "fetch-prometheus-3: $*"
}

give_up() {
    say "$*; the tests use $(command -v prometheus >/dev/null && echo "Prometheus $(version prometheus)" || echo "none") instead"
    exit 0
}

for found in "${FOREWARN_PROMETHEUS:-}" "$cache/bin/prometheus" "$(command -v prometheus || true)"; do
    # Its promtool is asked, too.
    if [ -n "$found" ] && [ -x "$found" ] && [ -x "$(dirname "$found")/promtool" ] && [[ $(version "$found") == 3.* ]]; then
        say "$found is $(version "$found")"
        exit 0
    fi
done

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || give_up "there is no apt here"
# What apt would fetch, whether it has done so or not.
mirror=$(apt-get update --print-uris 2>/dev/null | sed -n "s#^'\(.*/debian\)/*/dists/.*#\1#p" | head -n 1)
[ -n "$mirror" ] || give_up "apt here has no Debian mirror"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || give_up "there is no $keyring"

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,root}
echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/sources.list"
options=(
    -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
    -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20
    -o APT::Update::Error-Mode=any
    -o APT::Sandbox::User=root # the cache is this user's
)
# A dead mirror must not hold the tests up.
in_time() {
    timeout --kill-after=10 180 "$@" </dev/null
}
in_time apt-get "${options[@]}" -qq update >"$work/log" 2>&1 ||
    give_up "no lists of Debian's newest suite ($(tail -n 1 "$work/log"))"
(cd "$work" && in_time apt-get "${options[@]}" -qq download prometheus promtool) >"$work/log" 2>&1 ||
    give_up "no packages of Prometheus ($(tail -n 1 "$work/log"))"
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root" || give_up "$(basename "$package") does not unpack"
done
fetched=$(version "$work/root/usr/bin/prometheus" || true)
[[ $fetched == 3.* ]] || give_up "the newest suite's Prometheus is ${fetched:-one that does not run here}"

# In one step, so that a test that looks meanwhile finds all or nothing.
rm -rf "$cache/bin"
mv -T "$work/root/usr/bin" "$cache/bin"
say "Prometheus $fetched is in $cache/bin"
