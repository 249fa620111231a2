#!/usr/bin/env bash
# Makes the virtual environment $1 from the lock file, with the project in it as an editable install.
# PYTHON names the interpreter to use; otherwise the first of 3.13, 3.12, 3.11 that works is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1

usable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1
}

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        # A version manager's shim may be on the path and not work, so it is tried, not looked for.
        if usable "$name"; then
            echo "$name"
            return
        fi
    done
    echo "tillsync: Python 3.11, 3.12 or 3.13 is needed and none of ${PYTHON:-python3, python3.13, python3.12, python3.11} is; install one or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
}

python=$(find_python)
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    echo "tillsync: $python has no venv module; install it (Debian: apt-get install python3-venv)" >&2
    exit 1
fi
if [ -e "$venv" ] && ! usable "$venv/bin/python"; then
    rm -rf "$venv" # left by an interpreter that is gone
fi
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
echo "tillsync: installing into $venv ($("$venv/bin/python" -V)); the first time takes a minute or two" >&2
pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input)
"${pip[@]}" install --quiet --progress-bar off --require-hashes -r requirements.lock
"${pip[@]}" install --quiet --no-deps --no-build-isolation --editable .
touch "$venv/.made"
