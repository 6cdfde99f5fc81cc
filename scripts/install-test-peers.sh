#!/usr/bin/env bash
# Installs what tests run against: Debian's Prometheus, Alertmanager and node_exporter, openssl, and faketime.
#
# The packages would start services on their default ports. Tests start their own on free ports, so a policy-rc.d that
# says no (Debian policy 9.3.3, heeded with systemd and without) stands while they are installed, and goes afterwards.
# Services that were there before are not touched.
set -euo pipefail

# Each package has a program of its own name.
programs=(prometheus prometheus-alertmanager prometheus-node-exporter openssl faketime)

fail() {
    echo "install-test-peers: $*" >&2
    echo "install-test-peers: on other systems put these programs on the PATH: ${programs[*]}" >&2
    exit 1
}

missing() {
    local program
    for program in "${programs[@]}"; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

mapfile -t packages < <(missing)
if [ ${#packages[@]} -eq 0 ]; then
    echo "install-test-peers: all there"
    exit 0
fi

command -v apt-get >/dev/null || fail "there is no apt-get here"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "needs root or sudo to install ${packages[*]}"
    sudo -n true 2>/dev/null || [ -t 0 ] || fail "sudo asks for a password, and nobody is there to type it"
    as_root=(sudo)
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" </dev/null
}

# Lists older than a day name versions that mirrors may have dropped; images come without any.
if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit 2>/dev/null)" ]; then
    apt update -qq || fail "apt-get update failed"
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    "${as_root[@]}" chmod 755 "$policy"
fi
apt install -qq -y --no-install-recommends "${packages[@]}" || fail "apt-get install failed"

# systemd would start them at the next boot; they are only wanted as programs.
if [ -d /run/systemd/system ]; then
    for package in "${packages[@]}"; do
        [[ $package != prometheus* ]] || "${as_root[@]}" systemctl disable --quiet "$package" || true
    done
fi
[ -z "$(missing)" ] || fail "installed, but not on the PATH: $(missing | tr '\n' ' ')"
echo "install-test-peers: installed ${packages[*]}"
