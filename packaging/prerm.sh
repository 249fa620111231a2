#!/bin/sh
# What was compiled is not the package's, and would be left behind.
set -e
find /opt/tillsync/lib -name __pycache__ -type d -prune -exec rm -rf {} +
