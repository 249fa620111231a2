#!/bin/bash
# Starts PostgreSQL in a container of the lab: makes the cluster the first time, with the superuser's password that the
# file POSTGRES_PASSWORD_FILE holds, as the image of PostgreSQL's makers does.
set -euo pipefail
data=/var/lib/postgresql/data
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
if [ ! -s "$data/PG_VERSION" ]; then
    "$programs/initdb" -D "$data" -E UTF8 --locale=C.UTF-8 -U postgres --auth-host=scram-sha-256 --auth-local=peer \
        --pwfile="$POSTGRES_PASSWORD_FILE" >/dev/null
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    "$programs/pg_ctl" -D "$data" -o "-c listen_addresses=" -w -s start
    "$programs/createdb" "$POSTGRES_DB"
    "$programs/pg_ctl" -D "$data" -m fast -w -s stop
fi
exec "$programs/postgres" -D "$data" -c listen_addresses='*' -c client_connection_check_interval=10s "$@"
