#!/usr/bin/env bash
# Installs PgBouncer for the tests of the relay behind it, where this is root and Debian's packages are to be had.
set -uo pipefail
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "tillsync: there is no PgBouncer, and it cannot be installed here" >&2
    exit 0
fi
echo "tillsync: installing pgbouncer" >&2
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null ||
    echo "tillsync: it cannot be installed" >&2
exit 0
