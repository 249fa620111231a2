-- The life of one row, for `explain`. {is_key} compares row r, log l or ledger h with the key that was asked for.

-- name: row
-- the row as the plan ships it, in one JSON object
SELECT to_jsonb(x) AS row FROM (SELECT {columns} FROM {table} r WHERE {is_key}) x

-- name: captured
-- the newest lines of the log: when, in which transaction, and the first tick whose snapshot saw it
SELECT l.at, l.xid::text AS xid, l.origin AS echo_for,
       (SELECT min(i.n) FROM tillsync.intent i WHERE pg_visible_in_snapshot(l.xid, i.snapshot)) AS tick
  FROM tillsync.{log} l WHERE {is_key} ORDER BY l.xid DESC, l.at DESC LIMIT 20

-- name: streams
SELECT s.stream, s.channel, s.params, h.entered_tick, h.left_tick
  FROM tillsync.{hold} h JOIN tillsync.stream s USING (stream) WHERE {is_key} ORDER BY s.stream, h.entered_tick

-- name: branches
-- whether each branch's stream holds it, and since which tick the stream is loaded
SELECT n.node, s.stream, s.loaded_tick, h.entered_tick, h.left_tick
  FROM tillsync.node n
  JOIN tillsync.subscription u ON u.node = n.node
  JOIN tillsync.stream s ON s.stream = u.stream AND s.channel = {channel}
  LEFT JOIN LATERAL (SELECT h.* FROM tillsync.{hold} h WHERE h.stream = s.stream AND {is_key}
                      ORDER BY h.entered_tick DESC LIMIT 1) h ON true
 WHERE n.state = 'active' ORDER BY n.node

-- name: parked
SELECT p.id, p.node, p.op, p.at, p.reason, p.state FROM tillsync.parked p
 WHERE p.tab = %(tab)s AND p.key @> %(key)s AND (SELECT bool_and(p.key ->> k = v) FROM jsonb_each_text(%(key)s) e (k, v))
 ORDER BY p.id DESC LIMIT 20

-- name: conflicts
SELECT c.id, c.node, c.at, c.policy, c.winner, c.columns FROM tillsync.conflict c
 WHERE c.tab = %(tab)s AND (SELECT bool_and(c.key ->> k = v) FROM jsonb_each_text(%(key)s) e (k, v))
 ORDER BY c.id DESC LIMIT 20

-- name: terms
-- each term of the filter for one branch: true, false, or null for neither
SELECT {terms} FROM {table} r CROSS JOIN (SELECT true AS one {parameters} FROM tillsync.node s WHERE s.node = {node}) s WHERE {is_key}
