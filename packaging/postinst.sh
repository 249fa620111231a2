#!/bin/sh
# Compiled once here, since a service has no right to write there.
set -e
python3 -m compileall -q /opt/tillsync/lib || true
