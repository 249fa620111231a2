-- What a change would do to the tills; run in a transaction that is taken back.

-- name: before
-- what the branches are subscribed to as things stand
CREATE TEMPORARY TABLE tillsync_before ON COMMIT DROP AS
SELECT u.node, s.channel, u.stream, s.loaded_tick IS NOT NULL AS is_loaded
  FROM tillsync.subscription u JOIN tillsync.stream s USING (stream)

-- name: ledgers
SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relnamespace = to_regnamespace('tillsync') AND c.relkind = 'r'

-- name: newest_tick
SELECT n, snapshot::text AS snapshot, epoch, plan_version FROM tillsync.intent ORDER BY n DESC LIMIT 1

-- name: unloaded
-- streams that are to be loaded; those that only moving branches need are sent to nobody whole
SELECT s.stream, s.channel,
       EXISTS (SELECT FROM tillsync.subscription u WHERE u.stream = s.stream
                AND NOT EXISTS (SELECT FROM tillsync.move m WHERE m.node = u.node AND m.channel = s.channel AND m.tick IS NULL))
           AS is_wanted
  FROM tillsync.stream s
 WHERE s.loaded_tick IS NULL AND EXISTS (SELECT FROM tillsync.subscription u WHERE u.stream = s.stream)

-- name: effects
-- of the table with the ledger {hold}, after a rehearsed tick n: for every pair of a stream that branches had and the one that
-- they get, how many rows were held, come and go
WITH pair AS (
    SELECT a.stream AS stream, b.stream AS was, s.channel, s.params, array_agg(a.node ORDER BY a.node) AS branches
      FROM tillsync.subscription a
      JOIN tillsync.stream s USING (stream)
      LEFT JOIN tillsync_before b ON b.node = a.node AND b.channel = s.channel AND b.is_loaded
     GROUP BY 1, 2, 3, 4)
SELECT p.stream, p.channel, p.params, p.branches,
       (SELECT count(*) FROM tillsync.{hold} h
         WHERE h.stream = p.was AND h.entered_tick < {n} AND (h.left_tick IS NULL OR h.left_tick = {n})) AS before,
       (SELECT count(*) FROM (
            SELECT {key} FROM tillsync.{hold} h WHERE h.stream = p.stream AND h.left_tick IS NULL
            EXCEPT
            SELECT {key} FROM tillsync.{hold} h
             WHERE h.stream = p.was AND h.entered_tick < {n} AND (h.left_tick IS NULL OR h.left_tick = {n})) come) AS come,
       (SELECT count(*) FROM (
            SELECT {key} FROM tillsync.{hold} h
             WHERE h.stream = p.was AND h.entered_tick < {n} AND (h.left_tick IS NULL OR h.left_tick = {n})
            EXCEPT
            SELECT {key} FROM tillsync.{hold} h WHERE h.stream = p.stream AND h.left_tick IS NULL) go) AS go
  FROM pair p
 WHERE p.channel = {channel}
 ORDER BY p.channel, p.params, p.branches
