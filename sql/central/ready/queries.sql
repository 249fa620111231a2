-- Who holds the rows that are valid on a day. {table} r is the application's table, {log} l its log, {hold} h its ledger;
-- {is_valid} says of r whether it is valid on the day, {held} and {logged} compare keys of r with h, and of l with h.

-- name: children
-- tables that refer to one with validity: the columns of both sides
SELECT c.conrelid::regclass::oid::integer AS oid,
       format('%%s.%%s', n.nspname, t.relname) AS child,
       (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY k (attnum, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS own,
       (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(c.confkey) WITH ORDINALITY k (attnum, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum) AS parents
  FROM pg_catalog.pg_constraint c
  JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
 WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid = to_regclass(%(parent)s)

-- name: branches
-- the active branches with their streams of these channels. waits: one is not announced, or moves to another stream
SELECT n.node,
       coalesce(array_agg(s.stream ORDER BY s.stream) FILTER (WHERE s.stream IS NOT NULL), '{}') AS streams,
       NOT n.announced OR EXISTS (SELECT FROM tillsync.move m WHERE m.node = n.node AND m.channel = ANY (%(channels)s)
                                   AND (m.tick IS NULL OR m.tick > coalesce((%(ticks)s::jsonb ->> n.node)::bigint, 0))) AS waits
  FROM tillsync.node n
  LEFT JOIN tillsync.subscription u ON u.node = n.node
  LEFT JOIN tillsync.stream s ON s.stream = u.stream AND s.channel = ANY (%(channels)s)
 WHERE n.state = 'active' GROUP BY n.node, n.announced ORDER BY n.node

-- name: known_ticks
SELECT n FROM tillsync.intent WHERE n = ANY (%(ticks)s::bigint[]) AND published_at IS NOT NULL

-- name: valid
-- how many rows are valid on the day
SELECT count(*) FROM {table} r WHERE {is_valid}

-- name: unpublished
-- rows that are valid on the day and that changed, or came, after the newest published tick
SELECT count(*) FROM {table} r
 WHERE {is_valid}
   AND EXISTS (SELECT FROM tillsync.{log} l, (SELECT snapshot FROM tillsync.intent WHERE published_at IS NOT NULL
                                                ORDER BY n DESC LIMIT 1) i
                WHERE {changed} AND l.origin IS NULL AND l.xid >= pg_snapshot_xmin(i.snapshot)
                  AND NOT pg_visible_in_snapshot(l.xid, i.snapshot))

-- name: missing
-- for each stream and each tick that a branch of it has applied, how many rows are not as they have to be: a valid one
-- that came later; one that the branch still has and that left later; and one that it has and that changed later, valid
-- or not, since it may have been
WITH at AS (SELECT * FROM unnest(%(streams)s::integer[], %(ticks)s::bigint[]) AS a (stream, tick)),
later AS (
    SELECT DISTINCT i.n AS tick, {logged_key}
      FROM tillsync.intent i
      JOIN tillsync.{log} l ON l.xid >= pg_snapshot_xmin(i.snapshot) AND NOT pg_visible_in_snapshot(l.xid, i.snapshot)
     WHERE i.n IN (SELECT tick FROM at) AND l.origin IS NULL),
wrong AS (
    SELECT a.stream, a.tick, {hold_key} FROM at a JOIN tillsync.{hold} h ON h.stream = a.stream
      JOIN {table} r ON {held}
     WHERE h.left_tick IS NULL AND h.entered_tick > a.tick AND {is_valid}
    UNION
    SELECT a.stream, a.tick, {hold_key} FROM at a JOIN tillsync.{hold} h ON h.stream = a.stream
     WHERE h.left_tick > a.tick AND h.entered_tick <= a.tick
    UNION
    SELECT a.stream, a.tick, {hold_key} FROM at a JOIN tillsync.{hold} h ON h.stream = a.stream
      JOIN later l ON l.tick = a.tick AND ({logged} OR {truncated})
     WHERE h.entered_tick <= a.tick AND (h.left_tick IS NULL OR h.left_tick > a.tick))
SELECT stream, tick, count(*) FROM wrong GROUP BY stream, tick
