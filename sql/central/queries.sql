-- Central's queries, each a block. Those with names to fill in ({name}) are composed, never pasted.

-- name: catalog
-- Every ordinary and partitioned table of the application: columns, and the key (primary, else a unique one over
-- columns that cannot be null). `plain`: equality of the type is sameness, so EXCEPT may compare it as it is.
SELECT n.nspname AS schema, c.relname AS table, c.relkind::text AS kind,
       (SELECT jsonb_agg(jsonb_build_object(
                   'name', a.attname,
                   'type', format_type(a.atttypid, a.atttypmod),
                   'base', format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL),
                   'generated', a.attgenerated <> '',
                   'virtual', a.attgenerated = 'v',
                   'identity', a.attidentity <> '',
                   'required', a.attnotnull,
                   'plain', (t.typtype = 'e' OR t.typname IN ('int2', 'int4', 'int8', 'bool', 'date', 'time', 'timestamp',
                                 'timestamptz', 'uuid', 'bytea', 'text', 'varchar', 'bpchar', 'name', 'oid')
                             OR (t.typname = 'numeric' AND a.atttypmod <> -1))
                            AND coalesce(l.collisdeterministic, true)) ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
          JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT jsonb_agg(u.names ORDER BY u.names)
          FROM (SELECT (SELECT jsonb_agg(a.attname ORDER BY k.place)
                          FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
                          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                         WHERE k.place <= i.indnkeyatts) AS names
                  FROM pg_catalog.pg_index i
                 WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL) u
       ) AS unique,
       (SELECT jsonb_agg(a.attname ORDER BY k.place)
          FROM (SELECT i.* FROM pg_catalog.pg_index i
                 WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
                   AND (i.indisprimary OR NOT EXISTS (
                        SELECT FROM unnest(i.indkey::int2[]) k (attnum)
                          JOIN pg_catalog.pg_attribute x ON x.attrelid = c.oid AND x.attnum = k.attnum
                         WHERE NOT x.attnotnull))
                 ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1) i,
               LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE k.place <= i.indnkeyatts) AS key,
       below.parts, below.leaves
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
       WITH RECURSIVE tree (oid) AS (
            SELECT c.oid
            UNION SELECT h.inhrelid FROM tree JOIN pg_catalog.pg_inherits h ON h.inhparent = tree.oid)
       SELECT jsonb_agg(m.nspname || '.' || p.relname ORDER BY m.nspname, p.relname) FILTER (WHERE p.oid <> c.oid) AS parts,
              jsonb_agg(m.nspname || '.' || p.relname ORDER BY m.nspname, p.relname) FILTER (WHERE p.relkind = 'r') AS leaves
         FROM tree JOIN pg_catalog.pg_class p USING (oid) JOIN pg_catalog.pg_namespace m ON m.oid = p.relnamespace
        WHERE p.relkind IN ('r', 'p') AND (p.relpersistence <> 't' OR p.oid = c.oid)) below
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tillsync', 'relay') AND n.nspname !~ '^pg_'
 ORDER BY 1, 2

-- name: newest_plan
SELECT version, body FROM tillsync.plan WHERE version = coalesce(%(version)s, version) ORDER BY version DESC LIMIT 1

-- name: plans_since
SELECT body FROM tillsync.plan WHERE version >= %(version)s ORDER BY version

-- name: triggers_of_ours
-- every trigger of ours on the application's tables, with the function behind it
SELECT n.nspname || '.' || c.relname AS tab, t.tgname AS trigger, p.proname AS function
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
  JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
 WHERE f.nspname = 'tillsync' AND NOT t.tgisinternal

-- name: drifted
-- tables of the plan that look otherwise than when they were last in order
SELECT w.tab, w.gone, s.columns AS seen, w.shape || w.guard AS digest, w.guard
  FROM tillsync.watched w JOIN tillsync.seen s USING (tab)
 WHERE (s.shape, s.guard) IS DISTINCT FROM (w.shape, w.guard) ORDER BY w.tab

-- name: unseen
-- of each table of the plan: ddl, as tillsync.made has it, and whether rows may have changed that nobody captured
SELECT m.tab, m.ddl, m.tab IN (SELECT t.tab FROM tillsync.torn t) AS torn FROM tillsync.made m

-- name: came
SELECT tab, part FROM tillsync.came WHERE has_rows ORDER BY part

-- name: captured
SELECT tab, key, columns, routing FROM tillsync.captured

-- name: capture_as_it_is
-- every trigger of ours with what it runs
SELECT n.nspname || '.' || c.relname AS tab, t.tgname AS trigger, t.tgenabled::text AS enabled,
       pg_get_triggerdef(t.oid) AS definition, p.prosrc AS body, p.prosecdef AS definer, p.proconfig AS config
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
  JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
 WHERE f.nspname = 'tillsync' AND NOT t.tgisinternal AND t.tgparentid = 0
 ORDER BY 1, 2

-- name: own_columns
-- the columns of our tables, with their types
SELECT c.relname AS name, array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)) AS columns
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = 'tillsync' AND c.relkind = 'r' GROUP BY c.relname

-- name: upsert_node
INSERT INTO tillsync.node (node, params) VALUES (%(node)s, %(params)s)
ON CONFLICT (node) DO UPDATE SET params = excluded.params, state = 'active', announced = false

-- name: retire_node
UPDATE tillsync.node SET state = 'retired', announced = false WHERE node = %(node)s

-- name: nodes
SELECT node, params, state, announced, created_at FROM tillsync.node ORDER BY node

-- name: make_streams
-- the streams of a channel that active nodes need: one per tuple of the parameters that its filters use
INSERT INTO tillsync.stream (channel, params)
SELECT DISTINCT %(channel)s, (SELECT coalesce(jsonb_object_agg(p, n.params -> p), '{}') FROM unnest(%(parameters)s::text[]) p)
  FROM tillsync.node n WHERE n.state = 'active'
ON CONFLICT (channel, params) DO NOTHING

-- name: note_moves
-- branches whose stream of a channel becomes another one. Of a stream that is not loaded nobody has anything
INSERT INTO tillsync.move (node, channel, old_stream)
SELECT n.node, s.channel, s.stream
  FROM tillsync.node n
  JOIN tillsync.subscription u ON u.node = n.node
  JOIN tillsync.stream s ON s.stream = u.stream AND s.channel = %(channel)s AND s.loaded_tick IS NOT NULL
  JOIN tillsync.stream t ON t.channel = s.channel AND t.stream <> s.stream
   AND t.params = (SELECT coalesce(jsonb_object_agg(p, n.params -> p), '{}') FROM unnest(%(parameters)s::text[]) p)
 WHERE n.state = 'active'

-- name: forget_moves
DELETE FROM tillsync.move m
 WHERE EXISTS (SELECT FROM tillsync.node n WHERE n.node = m.node AND n.state <> 'active') OR NOT m.channel = ANY (%(channels)s)

-- name: pending_moves
-- several that follow one another are one, from the first stream to the one that is subscribed to now
SELECT m.node, m.channel, (array_agg(m.old_stream ORDER BY m.id))[1] AS old_stream, s.stream AS new_stream
  FROM tillsync.move m
  JOIN tillsync.subscription u ON u.node = m.node
  JOIN tillsync.stream s ON s.stream = u.stream AND s.channel = m.channel
 WHERE m.tick IS NULL GROUP BY m.node, m.channel, s.stream ORDER BY m.node, m.channel

-- name: any_move
SELECT EXISTS (SELECT FROM tillsync.move WHERE tick IS NULL) AS any_move

-- name: moved
UPDATE tillsync.move SET tick = %(n)s WHERE tick IS NULL

-- name: moves_done
-- those whose tick the relay has
DELETE FROM tillsync.move WHERE tick <= %(n)s

-- name: rewind_moves
UPDATE tillsync.move SET tick = NULL WHERE tick > %(n)s

-- name: drop_moves
-- nobody has anything of the old streams that counts: the new ones are loaded as by a new branch
DELETE FROM tillsync.move

-- name: move
-- what a branch that goes from stream {old} to stream {new} with tick {n} has too little and too much: from what the old one
-- held before the tick, since the branch hears nothing of it any more. {again}: keys of rows that it has as they were then
WITH old AS (SELECT {key} FROM tillsync.{hold}
              WHERE stream = {old} AND entered_tick < {n} AND (left_tick IS NULL OR left_tick = {n})),
new AS (SELECT {key} FROM tillsync.{hold} WHERE stream = {new} AND left_tick IS NULL)
SELECT d.cut, count(*) AS rows, string_agg(d.doc, ',') AS docs
  FROM (SELECT false AS cut, (row_number() OVER () - 1) / {part_rows} AS part, {row_doc} AS doc
          FROM (SELECT * FROM new EXCEPT SELECT * FROM old UNION (SELECT * FROM new INTERSECT {again})) k
          JOIN {table} r ON {row_is_key}
        UNION ALL
        SELECT true, (row_number() OVER () - 1) / {part_rows}, {key_doc}
          FROM (SELECT * FROM old EXCEPT SELECT * FROM new) k) d
 GROUP BY d.cut, d.part ORDER BY d.cut DESC, d.part

-- name: all_again
SELECT * FROM new

-- name: changed_again
SELECT {key} FROM ({tick}) l

-- name: clear_subscriptions
DELETE FROM tillsync.subscription u USING tillsync.stream s
 WHERE s.stream = u.stream AND (s.channel = %(channel)s OR NOT s.channel = ANY (%(channels)s))

-- name: make_subscriptions
INSERT INTO tillsync.subscription (node, stream)
SELECT n.node, s.stream FROM tillsync.node n
  JOIN tillsync.stream s ON s.channel = %(channel)s
   AND s.params = (SELECT coalesce(jsonb_object_agg(p, n.params -> p), '{}') FROM unnest(%(parameters)s::text[]) p)
 WHERE n.state = 'active'
ON CONFLICT DO NOTHING

-- name: streams_of
SELECT s.stream, s.channel FROM tillsync.subscription u JOIN tillsync.stream s USING (stream)
 WHERE u.node = %(node)s ORDER BY s.channel

-- name: rest_streams
-- streams that nobody is subscribed to are not routed; should one be wanted again, it starts with a snapshot
UPDATE tillsync.stream s SET loaded_tick = NULL
 WHERE loaded_tick IS NOT NULL AND NOT EXISTS (SELECT FROM tillsync.subscription u WHERE u.stream = s.stream)
   AND NOT EXISTS (SELECT FROM tillsync.move m WHERE m.old_stream = s.stream)

-- name: unannounced
-- what a branch is subscribed to at the relay: until it has moved, the stream that it comes from
SELECT n.node, coalesce(array_agg(x.stream ORDER BY x.stream) FILTER (WHERE x.stream IS NOT NULL), '{}') AS streams,
       coalesce(array_agg(x.channel ORDER BY x.stream) FILTER (WHERE x.stream IS NOT NULL), '{}') AS channels
  FROM tillsync.node n
  LEFT JOIN LATERAL (
    SELECT s.channel, coalesce((SELECT m.old_stream FROM tillsync.move m
                                 WHERE m.node = n.node AND m.channel = s.channel AND m.tick IS NULL ORDER BY m.id LIMIT 1),
                               s.stream) AS stream
      FROM tillsync.subscription u JOIN tillsync.stream s USING (stream) WHERE u.node = n.node) x ON true
 WHERE NOT n.announced OR %(all)s
 GROUP BY n.node ORDER BY n.node

-- name: announced
UPDATE tillsync.node SET announced = true WHERE node = ANY (%(nodes)s) AND NOT announced

-- name: unannounce
UPDATE tillsync.node SET announced = false

-- name: here
-- the snapshot of this transaction, and the identity of the cluster that gives it its meaning
SELECT pg_current_snapshot()::text AS snapshot, (SELECT epoch FROM tillsync.state) AS epoch,
       (SELECT system_identifier FROM pg_control_system()) AS system_id,
       (SELECT max(n) FROM tillsync.intent) AS newest_n,
       EXISTS (SELECT FROM tillsync.intent WHERE published_at IS NOT NULL) AS published

-- name: base
-- the intent behind the relay's newest tick
SELECT n, snapshot::text AS snapshot, system_id, plan_version, held FROM tillsync.intent WHERE token = %(token)s AND n = %(n)s

-- name: intend
INSERT INTO tillsync.intent (n, token, snapshot, epoch, plan_version, system_id, held)
VALUES (%(n)s, %(token)s, %(snapshot)s::pg_snapshot, %(epoch)s, %(plan_version)s, %(system_id)s, %(held)s)

-- name: published
UPDATE tillsync.intent SET published_at = clock_timestamp() WHERE n <= %(n)s AND published_at IS NULL

-- name: set_epoch
UPDATE tillsync.state SET epoch = %(epoch)s

-- name: forget_intents
-- ticks that the relay does not have did not happen
DELETE FROM tillsync.intent WHERE n > %(n)s

-- name: unload_streams
UPDATE tillsync.stream SET loaded_tick = NULL WHERE loaded_tick > %(n)s

-- name: rewind_hold
-- the ledger {hold} as it stood after tick {n}
WITH entered AS (DELETE FROM tillsync.{hold} WHERE entered_tick > {n})
UPDATE tillsync.{hold} SET left_tick = NULL WHERE left_tick > {n} AND entered_tick <= {n}

-- name: live_streams
SELECT s.stream, s.channel FROM tillsync.stream s
 WHERE EXISTS (SELECT FROM tillsync.subscription u WHERE u.stream = s.stream)

-- name: loaded_streams
SELECT s.stream FROM tillsync.stream s WHERE s.loaded_tick IS NOT NULL

-- name: loaded
UPDATE tillsync.stream SET loaded_tick = coalesce(loaded_tick, %(n)s) WHERE stream = ANY (%(streams)s)

-- name: changed_acks
-- applied positions and requests to send again that are new in this tick; `all` of them in a new epoch
SELECT node, coalesce(a.seq, 0) AS seq, coalesce(a.nonce, 0) AS nonce,
       coalesce(g.xid IS NOT NULL AND NOT pg_visible_in_snapshot(g.xid, %(since)s::pg_snapshot), false) AS gap
  FROM tillsync.applied a FULL JOIN tillsync.gap g USING (node)
 WHERE %(all)s OR NOT pg_visible_in_snapshot(a.xid, %(since)s::pg_snapshot)
    OR NOT pg_visible_in_snapshot(g.xid, %(since)s::pg_snapshot)

-- name: parked_news
-- changes that were parked or became done with in this tick; and all parked ones of nodes that get a snapshot (`streams`),
-- or of all nodes in a new epoch
SELECT p.node, p.seq, p.nonce, p.state = 'parked' AS held, p.reason
  FROM tillsync.parked p
 WHERE (p.xid >= pg_snapshot_xmin(%(since)s::pg_snapshot) AND NOT pg_visible_in_snapshot(p.xid, %(since)s::pg_snapshot))
    OR (p.state = 'parked'
        AND (%(all)s OR p.node IN (SELECT u.node FROM tillsync.subscription u WHERE u.stream = ANY (%(streams)s::int[]))))
 ORDER BY p.node, p.id

-- name: lost_news
-- changes that did not stand, as their branches are told: a hundred of each, the others are in the record
SELECT l.node, jsonb_agg(jsonb_build_array(l.tab, l.key, l.name, left(l.wrote, 200), left(l.stands, 200)) ORDER BY l.place) AS lost
  FROM (SELECT c.node, c.tab, c.key, k.name, c.theirs ->> k.name AS wrote, c.outcome ->> k.name AS stands,
               row_number() OVER (PARTITION BY c.node ORDER BY c.id, k.name) AS place
          FROM tillsync.conflict c CROSS JOIN unnest(CASE WHEN c.columns = '{}' THEN '{""}' ELSE c.columns END) k (name)
         WHERE c.xid >= pg_snapshot_xmin(%(since)s::pg_snapshot) AND NOT pg_visible_in_snapshot(c.xid, %(since)s::pg_snapshot)
           AND c.winner <> 'till' AND (c.outcome ->> k.name) IS DISTINCT FROM (c.theirs ->> k.name)) l
 WHERE l.place <= 100 GROUP BY l.node ORDER BY l.node

-- name: has_changes
-- what the tick has of one log: how much, a truncation (no key), a request for an echo; one arm of a statement over all
SELECT {tab} AS tab, count(*) AS rows, bool_or({key} IS NULL) AS truncated, bool_or(l.origin IS NOT NULL) AS echo
  FROM ({tick}) l HAVING count(*) > 0

-- name: prepare_changes
PREPARE tillsync_changes (xid8, xid8, pg_snapshot, xid8[]) AS {arms}

-- name: prepare_later_changes
-- the same for a tick before which no transaction was open, as most are
PREPARE tillsync_later_changes (xid8, xid8, pg_snapshot) AS {arms}

-- name: execute_changes
EXECUTE {prepared} ({bounds})

-- name: seek
-- while the statement over all logs runs, which is when it is planned: a log is small today and large tomorrow, and
-- workers take longer to come than the work
SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0

-- name: seek_or_scan
SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL max_parallel_workers_per_gather TO DEFAULT

-- name: tick_later
-- what the log {log} has in the tick: visible now, not visible in the snapshot of the tick before (PgQ's form: the log
-- is read from the old snapshot's end, and beside that only for the transactions that were open then)
SELECT {columns} FROM tillsync.{log} l
 WHERE l.xid >= {xmax_since} AND l.xid < {xmax_now} AND pg_visible_in_snapshot(l.xid, {now})

-- name: tick_open
SELECT {columns} FROM tillsync.{log} l
 WHERE l.xid = ANY ({open_since}) AND pg_visible_in_snapshot(l.xid, {now})

-- name: streams
-- the streams of a channel that a statement is about, with their parameters typed; not those of an earlier plan, whose
-- filters used other parameters
SELECT s.stream {parameters} FROM tillsync.stream s
 WHERE s.channel = {channel} AND {scope}
   AND CASE WHEN ARRAY(SELECT k FROM jsonb_object_keys(s.params) k ORDER BY k COLLATE "C") = {names}::text[]
            THEN true ELSE false END

-- name: own_candidates
-- {delta}: rows that changed themselves; an echo request alone does not count as a change
SELECT {key}, l.origin IS NULL AS own FROM {delta} l WHERE {has_key}

-- name: reach_candidates
-- rows that a change of another table may have brought in or put out
SELECT DISTINCT {row_key}, false AS own FROM streams s, {table} r, {reach_from} WHERE {reach_where}

-- name: every_candidate
-- after a truncation, and for a snapshot: every row there is, and every row that a stream holds
SELECT {key}, {own}::boolean AS own FROM {table}
UNION ALL
SELECT {key}, {own}::boolean AS own FROM tillsync.{hold}
 WHERE left_tick IS NULL AND (stream IN (SELECT stream FROM streams)) IS TRUE

-- name: with_candidate
-- the streams that a statement is about and the rows that it looks at, out of the ticks ({deltas}) of the logs
{deltas}streams AS MATERIALIZED ({streams}),
candidate AS MATERIALIZED (
    SELECT {key}, bool_or(own) AS own FROM ({candidates}) c GROUP BY {key})

-- name: measured_candidate
-- the same, where the candidates were laid down and analyzed first
streams AS MATERIALIZED ({streams}),
candidate AS (SELECT * FROM pg_temp.tillsync_candidate)

-- name: lay_down_candidates
-- A large tick: the planner is told how many rows it is about to join, which it cannot see through a CTE
CREATE TEMPORARY TABLE tillsync_candidate ON COMMIT DROP AS WITH {with_candidate} SELECT * FROM candidate

-- name: measure_candidates
ANALYZE pg_temp.tillsync_candidate

-- name: forget_candidates
DROP TABLE pg_temp.tillsync_candidate

-- name: work_memory
SET LOCAL work_mem = '64MB'

-- name: join_rows
-- the rows of many candidates, which are counted
JOIN {table} r ON {row_is_candidate}

-- name: look_up_rows
-- the rows of few candidates, whose number the planner does not know: each is looked up by its whole key, before anything
-- else. Without the fence it was seen to go by the first column of a key, through every price of a list for every price
CROSS JOIN LATERAL (SELECT * FROM {table} r WHERE {row_is_candidate} OFFSET 0) r

-- name: look_up_lines
-- the ledger's lines of candidates, each by its key: one that was just filled is not analyzed, and was seen to be read
-- through once for every stream
CROSS JOIN LATERAL (SELECT * FROM tillsync.{hold} h WHERE {hold_is_candidate} AND h.left_tick IS NULL OFFSET 0) h

-- name: scan_lines
-- the same where the candidates are about as many as the ledger's lines: it is read through once
JOIN (SELECT * FROM tillsync.{hold} h WHERE h.left_tick IS NULL OFFSET 0) h ON {hold_is_candidate}

-- name: is_scanned
SELECT %(candidates)s > pg_relation_size(%(hold)s::regclass) / 400 AS is_scanned

-- name: route
-- One table of one channel for all its streams at once: which candidates are in which stream's filter now, and which the
-- ledger holds. Brings the ledger up to tick n and returns parts: what is put, and the keys of what is cut.
-- A row that a stream never held and does not get is not mentioned to it. IS TRUE and CASE keep the planner from joining and
-- guessing where there is nothing to be guessed.
WITH {with_candidate},
verdict AS MATERIALIZED (
    SELECT stream, {key}, bool_or(own) AS own, bool_or(inside) AS inside, bool_or(held) AS held, max(doc) AS doc
      FROM (SELECT s.stream, {row_key}, c.own, true AS inside, false AS held, {row_doc} AS doc
              FROM candidate c {with_rows} CROSS JOIN streams s
             WHERE {predicate}
            UNION ALL
            SELECT h.stream, {hold_key}, c.own, false, true, NULL
              FROM candidate c
             {with_lines}
             WHERE (h.stream IN (SELECT stream FROM streams)) IS TRUE) v
     GROUP BY stream, {key}),
gone AS (
    UPDATE tillsync.{hold} SET left_tick = {n}
     WHERE ctid = ANY (ARRAY(
        SELECT (SELECT h.ctid FROM tillsync.{hold} h WHERE {hold_is_verdict} AND h.stream = v.stream AND h.left_tick IS NULL)
          FROM verdict v WHERE v.held AND NOT v.inside))),
entered AS (
    INSERT INTO tillsync.{hold} (stream, {key}, entered_tick)
    SELECT stream, {key}, {n} FROM verdict WHERE inside AND NOT held)
SELECT d.stream, d.cut, count(*) AS rows, string_agg(d.doc, ',') AS docs
  FROM (SELECT v.stream, false AS cut, (row_number() OVER (PARTITION BY v.stream) - 1) / {part_rows} AS part, v.doc
          FROM verdict v WHERE v.inside AND {shipped}
        UNION ALL
        SELECT v.stream, true, (row_number() OVER (PARTITION BY v.stream) - 1) / {part_rows}, {key_doc}
          FROM verdict v WHERE v.held AND NOT v.inside AND {cuts}) d
 GROUP BY d.stream, d.cut, d.part ORDER BY d.stream, d.part, d.cut DESC

-- name: echo
-- the rows that nodes asked about, as their streams hold them after this tick: put, or cut where they do not
WITH asked AS (SELECT DISTINCT l.origin, {log_key} FROM ({tick}) l WHERE l.origin IS NOT NULL),
answer AS (
    SELECT a.origin, {asked_key}, bool_or(h.stream IS NOT NULL) AS held
      FROM asked a
      JOIN tillsync.subscription u ON u.node = a.origin
      JOIN tillsync.stream s ON s.stream = u.stream AND s.channel = {channel} AND s.loaded_tick IS NOT NULL
      LEFT JOIN tillsync.{hold} h ON h.stream = s.stream AND {hold_is_asked} AND h.left_tick IS NULL
     GROUP BY a.origin, {asked_key})
SELECT a.origin AS node, NOT a.held AS cut, count(*) AS rows,
       string_agg(CASE WHEN a.held THEN {row_doc} ELSE {key_doc} END, ',') AS docs
  FROM answer a LEFT JOIN {table} r ON a.held AND {row_is_asked}
 GROUP BY a.origin, NOT a.held ORDER BY 1, 2

-- name: held_counts
SELECT h.stream, count(*) AS rows FROM tillsync.{hold} h WHERE h.left_tick IS NULL GROUP BY h.stream
