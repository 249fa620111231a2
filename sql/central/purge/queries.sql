-- Purging at central: what no tick, no rewind and no till that comes back can ask for any more. Each statement takes a bounded
-- number of rows and locks nothing that an application's statement waits for.

-- name: last
SELECT purged_at FROM tillsync.state

-- name: done
UPDATE tillsync.state SET purged_at = %(at)s

-- name: base
-- the newest published tick that is older than the retention, with the end of what was committed before its snapshot for
-- certain: the next tick starts at it at the earliest, or where channels that stayed back were covered
SELECT i.n, (SELECT pg_snapshot_xmin(s.snapshot) AS xmin
               FROM (SELECT i.snapshot
                     UNION ALL SELECT h.value::pg_snapshot FROM tillsync.intent j, jsonb_each_text(j.held) h
                                WHERE j.n >= i.n AND j.held IS NOT NULL) AS s
              ORDER BY 1 LIMIT 1)::text AS xmin
  FROM tillsync.intent i
 WHERE i.published_at IS NOT NULL AND i.at < %(before)s AND i.system_id = (SELECT system_identifier FROM pg_control_system())
 ORDER BY i.n DESC LIMIT 1

-- name: log
-- rows of the log {log} that every snapshot since sees
DELETE FROM tillsync.{log} l
 WHERE l.ctid = ANY (ARRAY(SELECT x.ctid FROM tillsync.{log} x WHERE x.xid < {xmin}::xid8 ORDER BY x.xid LIMIT {rows_max}))

-- name: hold
-- lines of the ledger {hold} that left at or before the base: no rewind reopens them
DELETE FROM tillsync.{hold} h
 WHERE h.ctid = ANY (ARRAY(SELECT x.ctid FROM tillsync.{hold} x WHERE x.left_tick <= {n} ORDER BY x.left_tick LIMIT {rows_max}))

-- name: rested
-- streams that nobody takes any more. Should one be wanted again, it starts with a snapshot, and its ledger with it
SELECT s.stream FROM tillsync.stream s
 WHERE s.loaded_tick IS NULL AND NOT EXISTS (SELECT FROM tillsync.subscription u WHERE u.stream = s.stream)
   AND NOT EXISTS (SELECT FROM tillsync.move m WHERE m.old_stream = s.stream)

-- name: rested_hold
DELETE FROM tillsync.{hold} h
 WHERE h.ctid = ANY (ARRAY(
    SELECT x.ctid FROM tillsync.{hold} x JOIN tillsync.stream s ON s.stream = x.stream
     WHERE s.loaded_tick IS NULL AND NOT EXISTS (SELECT FROM tillsync.subscription u WHERE u.stream = s.stream)
       AND NOT EXISTS (SELECT FROM tillsync.move m WHERE m.old_stream = s.stream)
     LIMIT {rows_max}))

-- name: intents
DELETE FROM tillsync.intent i WHERE i.n IN (SELECT x.n FROM tillsync.intent x WHERE x.n < %(n)s ORDER BY x.n LIMIT %(rows_max)s)

-- name: inbound
-- positions that are older than what central remembers; the newest upload of a branch always stays. Up to the floor a
-- position that is not known cannot be told from one that was forgotten
WITH old AS (
    DELETE FROM tillsync.inbound i
     WHERE (i.node, i.uid) IN (
        SELECT x.node, x.uid FROM tillsync.inbound x
         WHERE x.at < %(before)s AND EXISTS (SELECT FROM tillsync.inbound y WHERE y.node = x.node AND y.at > x.at)
         ORDER BY x.at LIMIT %(rows_max)s)
    RETURNING i.node, i.last_seq)
INSERT INTO tillsync.floor AS f (node, seq) SELECT node, max(last_seq) FROM old GROUP BY node
ON CONFLICT (node) DO UPDATE SET seq = greatest(f.seq, excluded.seq)

-- name: taken
DELETE FROM tillsync.taken t WHERE (t.node, t.uid) IN (
    SELECT x.node, x.uid FROM tillsync.taken x WHERE x.at < %(before)s LIMIT %(rows_max)s)

-- name: parked
-- what is still parked stays, however old
DELETE FROM tillsync.parked p WHERE p.id IN (
    SELECT x.id FROM tillsync.parked x WHERE x.state <> 'parked' AND x.at < %(before)s LIMIT %(rows_max)s)

-- name: conflicts
DELETE FROM tillsync.conflict c WHERE c.id IN (
    SELECT x.id FROM tillsync.conflict x WHERE x.at < %(before)s AND x.state <> 'open' LIMIT %(rows_max)s)
