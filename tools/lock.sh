#!/usr/bin/env bash
# Renews the lock file $1: the newest versions that pyproject.toml allows, with digests and without a word on where
# they came from. Made with Python 3.11, whose set of packages is the one of 3.12 and 3.13 too (CI would tell).
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

"${PYTHON:-python3.11}" -m venv "$tools/venv"
"$tools/venv/bin/pip" --disable-pip-version-check install --quiet pip-tools
"$tools/venv/bin/pip-compile" --quiet --upgrade --strip-extras --extra demo --extra test --allow-unsafe --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --no-annotate --no-header \
    --output-file "$tools/lock" pyproject.toml
{
    echo "# Every package of the development environment, pinned, with the digests of all its files; for Python 3.11 to 3.13."
    echo "# Made by \`make lock\`; not edited by hand."
    cat "$tools/lock"
} >"$tools/whole"
mv "$tools/whole" "$lock"
