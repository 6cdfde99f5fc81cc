#!/usr/bin/env bash
# Installs what tests run against: Debian's Prometheus, Alertmanager and node_exporter, openssl, faketime, and a browser.
#
# Where that does not work this says so and succeeds: the tests then say what they skip. With CI=true or
# FOREWARN_REQUIRE_PEERS=1, where nothing may be skipped, it fails.
#
# The packages would start services on their default ports. Tests start their own on free ports, so a policy-rc.d that
# says no (Debian policy 9.3.3, heeded with systemd and without) stands while they are installed, and goes afterwards.
# Services that were there before are not touched.
set -euo pipefail

# Each package has a program of its own name.
programs=(prometheus prometheus-alertmanager prometheus-node-exporter openssl faketime chromium)

give_up() {
    echo "install-test-peers: $*; missing: $(missing | tr '\n' ' ')" >&2
    echo "install-test-peers: on other systems put these programs on the PATH" >&2
    if [ "${CI:-}" = true ] || [ "${FOREWARN_REQUIRE_PEERS:-}" = 1 ]; then
        exit 1
    fi
    echo "install-test-peers: tests that need them are skipped" >&2
    exit 0
}

is_there() {
    case $1 in
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        *) command -v "$1" ;;
    esac >/dev/null
}

missing() {
    local program
    for program in "${programs[@]}"; do
        is_there "$program" || echo "$program"
    done
}

mapfile -t packages < <(missing)
if [ ${#packages[@]} -eq 0 ]; then
    echo "install-test-peers: all there"
    exit 0
fi

command -v apt-get >/dev/null || give_up "there is no apt-get here"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || give_up "needs root or sudo to install"
    sudo -n true 2>/dev/null || [ -t 0 ] || give_up "sudo asks for a password, and nobody is there to type it"
    as_root=(sudo)
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" </dev/null
}

# Lists older than a day name versions that mirrors may have dropped; images come without any.
if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit 2>/dev/null)" ]; then
    apt update -qq || give_up "apt-get update failed"
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    "${as_root[@]}" chmod 755 "$policy"
fi
# One by one if not together: one that this system does not have keeps none of the others away.
apt install -qq -y --no-install-recommends "${packages[@]}" ||
    for package in "${packages[@]}"; do
        apt install -qq -y --no-install-recommends "$package" || echo "install-test-peers: no $package" >&2
    done

# systemd would start them at the next boot; they are only wanted as programs.
if [ -d /run/systemd/system ]; then
    for package in "${packages[@]}"; do
        [[ $package != prometheus* ]] || ! is_there "$package" || "${as_root[@]}" systemctl disable --quiet "$package" || true
    done
fi
[ -z "$(missing)" ] || give_up "not all is here after the installation"
echo "install-test-peers: installed ${packages[*]}"
