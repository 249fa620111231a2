-- The reports of comparisons that are kept, and since when a table or a check of the books differs at a branch.

-- name: keep
INSERT INTO tillsync.reconciliation (made_at, scope, equal, totals, body)
VALUES (%(made_at)s, %(scope)s, %(equal)s, %(totals)s::jsonb, %(body)s) RETURNING id

-- name: stand
-- What was compared at each branch. An older comparison than the one that is known says nothing new: a till that is offline is
-- reported as it was. A difference stands since the first comparison in a row that found it
INSERT INTO tillsync.standing AS s (node, kind, what, rows, tick, compared_at, differs_since, equal_at)
SELECT f.node, f.kind, f.what, f.rows, f.tick, f.at, CASE WHEN f.rows > 0 THEN f.at END, CASE WHEN f.rows = 0 THEN f.at END
  FROM unnest(%(nodes)s::text[], %(kinds)s::text[], %(whats)s::text[], %(rows)s::bigint[], %(ticks)s::bigint[],
              %(ats)s::timestamptz[]) AS f (node, kind, what, rows, tick, at)
 WHERE EXISTS (SELECT FROM tillsync.node n WHERE n.node = f.node)
ON CONFLICT (node, kind, what) DO UPDATE
   SET rows = excluded.rows, tick = excluded.tick, compared_at = excluded.compared_at,
       differs_since = CASE WHEN excluded.rows > 0 THEN coalesce(s.differs_since, excluded.compared_at) END,
       equal_at = coalesce(excluded.equal_at, s.equal_at)
 WHERE excluded.compared_at > s.compared_at

-- name: leave
-- Tables and checks that a report over everything does not have any more: they left the plan
DELETE FROM tillsync.standing s
 WHERE NOT (s.kind = 'table' AND s.what = ANY (%(tables)s::text[])) AND NOT (s.kind = 'book' AND s.what = ANY (%(books)s::text[]))

-- name: trend
SELECT id, made_at, equal, totals FROM tillsync.reconciliation
 WHERE scope = %(scope)s AND made_at < %(before)s ORDER BY made_at DESC, id DESC LIMIT %(limit)s

-- name: newest
SELECT body FROM tillsync.reconciliation WHERE scope = %(scope)s ORDER BY made_at DESC, id DESC LIMIT 1

-- name: lasting
SELECT s.node, s.kind, s.what, s.rows, s.tick, s.differs_since AS since, s.equal_at
  FROM tillsync.standing s JOIN tillsync.node n ON n.node = s.node AND n.state = 'active'
 WHERE s.differs_since IS NOT NULL
 ORDER BY s.differs_since, s.node, s.kind, s.what

-- name: forget
-- Reports past the retention; the newest of all stays
DELETE FROM tillsync.reconciliation r WHERE r.id IN (
    SELECT x.id FROM tillsync.reconciliation x
     WHERE x.made_at < %(before)s AND x.id < (SELECT max(id) FROM tillsync.reconciliation) LIMIT %(rows_max)s)

-- name: night
-- the nightly comparison: the last one that was due, and the one that is under way
SELECT due, id, begun_at FROM tillsync.night

-- name: begin_night
INSERT INTO tillsync.night (due, id, begun_at) VALUES (%(due)s, %(id)s, %(begun_at)s)
ON CONFLICT (one) DO UPDATE SET due = excluded.due, id = excluded.id, begun_at = excluded.begun_at

-- name: end_night
UPDATE tillsync.night SET id = NULL WHERE id = %(id)s

-- name: active_nodes
SELECT node FROM tillsync.node WHERE state = 'active' ORDER BY node
