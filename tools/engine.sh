#!/usr/bin/env bash
# Installs what the test of the lab starts a Docker engine with, where no engine answers, this is root, and Debian's packages are
# to be had. What is missing then is the test's to say: it is left out, loudly.
set -uo pipefail
docker info >/dev/null 2>&1 && exit 0
missing=()
command -v dockerd >/dev/null || missing+=(docker.io containerd runc)
command -v docker >/dev/null || missing+=(docker.io)
docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || missing+=(docker-compose)
command -v debootstrap >/dev/null || missing+=(debootstrap)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "tillsync: no Docker engine, and none can be installed here: ${missing[*]}" >&2
    exit 0
fi
echo "tillsync: installing ${missing[*]}" >&2
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    echo "tillsync: they cannot be installed" >&2
exit 0
