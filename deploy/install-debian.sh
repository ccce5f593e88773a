#!/usr/bin/env bash
# Install Debian packages that are not there yet, with their services kept from starting.
# Usage: install-debian.sh PACKAGE…    As anybody but root it only names the command.
set -euo pipefail

if [ ! -e /etc/debian_version ]; then
    exit 0
fi

missing=()
for package in "$@"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "Not installed: ${missing[*]}. To install: sudo apt-get install ${missing[*]}" >&2
    exit 0
fi

# Debian starts a service as soon as it is installed unless this file says no. One that is there
# already belongs to the machine's owner, who decided. (The variable is for tests.)
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi

echo "Installing Debian packages: ${missing[*]}" >&2
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends \
        "${missing[@]}" </dev/null >"$log" 2>&1
}
log=$(mktemp)
if ! install; then
    apt-get update --quiet </dev/null >>"$log" 2>&1 || true
    if ! install; then
        tail -n 20 "$log" >&2
        echo "Could not install ${missing[*]}; going on without." >&2
    fi
fi
rm -f "$log"
