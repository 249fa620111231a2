-- What reports read. Read-only; `status` never waits for a lock.

-- name: objects
-- everything in a schema of ours, with a digest of its definition: to say what an installation changed, and whether two
-- are the same. Triggers are those whose function is in the schema, wherever their table is.
WITH ours AS (SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s)
SELECT kind, name, md5(definition) AS digest FROM (
    SELECT 'schema' AS kind, nspname::text AS name, nspname::text AS definition FROM ours
    UNION ALL
    SELECT 'table', c.relname, c.relpersistence::text || coalesce(c.reloptions::text, '') || coalesce(c.relacl::text, '') ||
           (SELECT coalesce(string_agg(format('%%s %%s %%s %%s %%s', a.attname, format_type(a.atttypid, a.atttypmod),
                       a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid)), ',' ORDER BY a.attnum), '')
              FROM pg_catalog.pg_attribute a
              LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
      FROM pg_catalog.pg_class c JOIN ours ON ours.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT 'index', c.relname, pg_get_indexdef(c.oid)
      FROM pg_catalog.pg_class c JOIN ours ON ours.oid = c.relnamespace WHERE c.relkind = 'i'
    UNION ALL
    SELECT 'constraint', format('%%s.%%s', k.conrelid::regclass, k.conname), pg_get_constraintdef(k.oid)
      FROM pg_catalog.pg_constraint k JOIN ours ON ours.oid = k.connamespace AND k.contype <> 'n'
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
      FROM pg_catalog.pg_proc p JOIN ours ON ours.oid = p.pronamespace WHERE p.prokind = 'f'
    UNION ALL
    SELECT 'trigger', format('%%s on %%s', t.tgname, t.tgrelid::regclass), pg_get_triggerdef(t.oid) || t.tgenabled::text
      FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN ours ON ours.oid = p.pronamespace
     WHERE NOT t.tgisinternal) o
 ORDER BY kind, name

-- name: branches
-- every branch with what central knows of it: how far its changelog is merged, its streams, what waits for a person
SELECT n.node, n.state, n.params, n.created_at,
       (SELECT coalesce(array_agg(u.stream ORDER BY u.stream), '{}') FROM tillsync.subscription u WHERE u.node = n.node) AS streams,
       a.at AS merged_at, coalesce(p.parked, 0) AS parked, coalesce(p.forbidden, 0) AS forbidden,
       coalesce(c.conflicts, 0) AS conflicts, coalesce(c.last_hour, 0) AS conflicts_last_hour,
       coalesce(c.undecided, 0) AS undecided,
       EXISTS (SELECT FROM tillsync.gap g WHERE g.node = n.node) AS gap
  FROM tillsync.node n
  LEFT JOIN tillsync.applied a ON a.node = n.node
  LEFT JOIN (SELECT node, count(*) AS parked, count(*) FILTER (WHERE sqlstate LIKE 'TS54_') AS forbidden
               FROM tillsync.parked WHERE state = 'parked' GROUP BY node) p ON p.node = n.node
  LEFT JOIN (SELECT node, count(*) AS conflicts,
                    count(*) FILTER (WHERE at > clock_timestamp() - interval '1 hour') AS last_hour,
                    count(*) FILTER (WHERE state = 'open') AS undecided
               FROM tillsync.conflict GROUP BY node) c ON c.node = n.node
 ORDER BY n.node

-- name: missed
-- for how many seconds each of these ticks has had a later one: what a branch at that tick is behind
SELECT t.tick, extract(epoch FROM clock_timestamp() - i.published_at)::double precision AS seconds
  FROM unnest(%s::bigint[]) t(tick)
 CROSS JOIN LATERAL (SELECT published_at FROM tillsync.intent
                      WHERE n > t.tick AND published_at IS NOT NULL ORDER BY n LIMIT 1) i

-- name: closures
-- which tills have a closure of which day; a template, its names come from the settings
SELECT DISTINCT {till}::text, {day}::date FROM {table} WHERE {day}::date >= %(since)s

-- name: clock
SELECT extract(epoch FROM clock_timestamp())::double precision

-- name: drifted
-- tables whose shape or capture is not what it was when central last found it in order
SELECT w.tab, w.gone FROM tillsync.watched w JOIN tillsync.seen s USING (tab)
 WHERE (s.shape, s.guard) IS DISTINCT FROM (w.shape, w.guard) ORDER BY w.tab

-- name: streams
SELECT s.stream, s.channel, s.params, s.loaded_tick,
       (SELECT count(*) FROM tillsync.subscription u WHERE u.stream = s.stream) AS branches
  FROM tillsync.stream s ORDER BY s.channel, s.stream

-- name: publishing
-- central's newest published tick, and the plan that is installed
SELECT (SELECT max(version) FROM tillsync.plan) AS plan_version, i.n AS tick, i.published_at
  FROM (VALUES (1)) one LEFT JOIN LATERAL
       (SELECT n, published_at FROM tillsync.intent WHERE published_at IS NOT NULL ORDER BY n DESC LIMIT 1) i ON true

-- name: kept
-- what is kept for branches that were away: the oldest tick and its age, and the logs' size on the disk
SELECT (SELECT min(i.n) FROM tillsync.intent i) AS oldest_tick,
       (SELECT min(i.at) FROM tillsync.intent i) AS oldest_tick_at,
       (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM tillsync.captured k
          JOIN pg_catalog.pg_class c ON c.oid = to_regclass('tillsync.' || quote_ident(k.log))) AS log_bytes,
       (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM tillsync.captured k
          JOIN pg_catalog.pg_class c ON c.oid = to_regclass('tillsync.' || quote_ident(k.hold))) AS ledger_bytes

-- name: till
-- a till's own account of itself
SELECT s.node, s.epoch, s.tick, s.plan_version,
       (SELECT count(*) FROM tillsync_changelog c WHERE c.seq > s.ack_seq AND c.op <> 'M') AS pending,
       (SELECT count(*) FROM tillsync_changelog c WHERE c.seq > s.pushed_seq AND c.op <> 'M') AS unsent,
       (SELECT count(*) FROM tillsync_problem) AS waiting,
       (SELECT count(*) FROM tillsync_held) AS held,
       (SELECT count(*) FROM tillsync_stream t WHERE coalesce(t.loaded_tick, 0) = 0) AS loading,
       (SELECT count(*) FROM tillsync_extra) AS set_aside
  FROM tillsync_state s

-- name: last_round
-- when the run that holds the lease began its newest round: it looks at its lease before each. Null where it is not ours to see
SELECT max(a.state_change) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s AND l.objsubid = 2
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())

-- name: lease
-- whether somebody holds central's lease (an advisory lock of two numbers)
SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
                WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND objsubid = 2
                  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
