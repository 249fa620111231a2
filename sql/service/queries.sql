-- What the service asks.

-- name: identity
-- which head office this is: the cluster, its timeline (a primary that was promoted has a newer one), and the database
SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
                 left(pg_walfile_name(pg_current_wal_lsn()), 8),
                 (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
