-- What the preflight checks ask of PostgreSQL. Read-only.

-- name: server
-- asked in a session without settings of ours, so that they are what applications get
SELECT current_setting('server_version_num')::int AS version, current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes, current_setting('server_encoding') AS encoding,
       current_setting('synchronous_commit') AS synchronous_commit,
       pg_is_in_recovery() AS is_replica, clock_timestamp() AS now

-- name: old_transactions
-- what keeps the logs from being purged, and a tick's share of changes from being seen
SELECT coalesce(nullif(application_name, ''), usename, 'a session') AS who, pid,
       extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
  FROM pg_catalog.pg_stat_activity
 WHERE xact_start < clock_timestamp() - interval '1 hour' AND datname = current_database()
 ORDER BY xact_start LIMIT 5

-- name: table_rights
-- rights of the login on the tables of the plan: to read them, and to write those that come up
SELECT t.name, c.oid IS NOT NULL AS there, c.relpersistence = 'u' AS unlogged, c.relrowsecurity AND NOT c.relowner = r.oid AND NOT r.rolbypassrls AS hidden,
       has_schema_privilege(n.oid, 'USAGE') AS usage,
       has_table_privilege(c.oid, 'SELECT') AS read,
       has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS write,
       pg_has_role(c.relowner, 'USAGE') AS owner
  FROM unnest(%(tables)s::text[]) t (name)
  LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace)
         ON n.nspname || '.' || c.relname = t.name
  JOIN pg_catalog.pg_roles r ON r.rolname = current_user
 ORDER BY t.name

-- name: may_install
SELECT has_database_privilege(current_database(), 'CREATE') OR to_regnamespace('tillsync') IS NOT NULL AS schema
