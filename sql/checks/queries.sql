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
-- rights of the login on the tables of the plan: to read them, and to write those that come up; owner: also of those below
SELECT t.name, c.oid IS NOT NULL AS there, c.relpersistence = 'u' AS unlogged, c.relrowsecurity AND NOT c.relowner = r.oid AND NOT r.rolbypassrls AS hidden,
       has_schema_privilege(n.oid, 'USAGE') AS usage,
       has_table_privilege(c.oid, 'SELECT') AS read,
       has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS write,
       NOT EXISTS (WITH RECURSIVE tree (oid) AS (
                       SELECT c.oid UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
                   SELECT FROM tree JOIN pg_catalog.pg_class p USING (oid) WHERE NOT pg_has_role(p.relowner, 'USAGE')) AS owner
  FROM unnest(%(tables)s::text[]) t (name)
  LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace)
         ON n.nspname || '.' || c.relname = t.name
  JOIN pg_catalog.pg_roles r ON r.rolname = current_user
 ORDER BY t.name

-- name: may_install
SELECT has_database_privilege(current_database(), 'CREATE') OR to_regnamespace('tillsync') IS NOT NULL AS schema

-- name: drawn_columns
-- columns that are filled from a sequence: identity and serial ones, and other defaults by nextval
SELECT n.nspname || '.' || c.relname AS tab, a.attname AS name,
       coalesce(pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname), 'a sequence') AS sequence
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE n.nspname || '.' || c.relname = ANY (%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
   AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%')
 ORDER BY 1, 2

-- name: sequence
-- the highest value that the column {column} of {table} has, and the next one that its sequence will give
SELECT (SELECT max({column})::numeric FROM {table}) AS highest,
       CASE WHEN is_called THEN last_value + 1 ELSE last_value END AS next FROM {sequence}

-- name: numbers
-- numbers {number} that more than one row of {table} has: how many do, the keys of the first ones and who sent them
SELECT d.number, d.count,
       ARRAY(SELECT to_jsonb(ARRAY[{key}]) FROM {table} r WHERE ARRAY[{texts}] = d.number ORDER BY {key} LIMIT 5) AS keys,
       ARRAY(SELECT {sender} FROM {table} r WHERE ARRAY[{texts}] = d.number ORDER BY {key} LIMIT 5) AS senders
  FROM (SELECT ARRAY[{texts}] AS number, count(*) FROM {table} r WHERE num_nulls({number}) = 0
         GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 20) d
