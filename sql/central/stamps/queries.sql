-- When rows were changed, for tables whose policy asks (newest_wins): the stamps of a hybrid logical clock. Those of a group's
-- changes lie in a temporary table; tillsync.stamp has those of what was merged; of head office's own changes since, the log has
-- the time. Names in braces as in ../merge/queries.sql. %(ahead)s: how far central's clock is ahead of the relay's.

-- name: make
CREATE TEMP TABLE IF NOT EXISTS tillsync_stamp (seq bigint PRIMARY KEY, at timestamptz NOT NULL, note text) ON COMMIT DELETE ROWS

-- name: empty
TRUNCATE pg_temp.tillsync_stamp

-- name: newer
-- contested rows: whether the till's change was made after head office's, and what was wrong with the till's clock.

SELECT s.at, (x.at, %(node)s::text COLLATE "C") > (ours.at, ours.node COLLATE "C"), x.note
  FROM {work} s {theirs} {ours}
 WHERE s.action = '?'

-- name: theirs
-- when the till made its change: not later than it was merged, which is all that is known of one without a stamp
CROSS JOIN LATERAL (
    SELECT least(max(x.at), now() - %(ahead)s) AS at, max(x.note) AS note FROM pg_temp.tillsync_stamp x WHERE x.seq = s.at >> 1) x

-- name: ours
-- when central's row was last changed, and by whom: head office's own edit, which no stamp tells of, or the newest that was merged
CROSS JOIN LATERAL (
    SELECT o.at, o.node
      FROM (SELECT m.at, m.node FROM tillsync.stamp m WHERE m.tab = %(tab)s AND m.key = {key_json}
            UNION ALL
            (SELECT t.at - %(ahead)s, '' FROM tillsync.{log} t
              WHERE {match} AND t.origin IS NULL AND t.xid <> pg_current_xact_id()
                AND t.at > coalesce((SELECT m.seen_at FROM tillsync.stamp m WHERE m.tab = %(tab)s AND m.key = {key_json}), '-infinity')
              ORDER BY t.at DESC LIMIT 1)
            UNION ALL SELECT '-infinity', '') o
     ORDER BY o.at DESC, o.node COLLATE "C" DESC LIMIT 1) ours

-- name: note
-- what was merged bears the stamp of its change, or where that is not later a later one than what it was made upon
INSERT INTO tillsync.stamp AS m (tab, key, at, node, seen_at)
SELECT %(tab)s, {key_json}, CASE WHEN (x.at, %(node)s::text COLLATE "C") > (ours.at, ours.node COLLATE "C") THEN x.at
                          ELSE ours.at + interval '1 millisecond' END, %(node)s, clock_timestamp()
  FROM {work} s {theirs} {ours}
 WHERE (s.action IN ('I', 'D') OR (s.action = 'U' AND {mask} LIKE '%%1%%')) AND s.at <> ALL (%(failed)s::bigint[])
ON CONFLICT (tab, key) DO UPDATE SET at = excluded.at, node = excluded.node, seen_at = excluded.seen_at

-- name: keep
-- a change that is parked keeps its stamp
UPDATE tillsync.parked p SET stamp = x.at, stamp_note = x.note FROM pg_temp.tillsync_stamp x
 WHERE p.node = %(node)s AND p.uid = %(uid)s AND p.seq = x.seq AND p.state = 'parked'

-- name: purge
-- rows of the log {log} that every snapshot since sees; what they tell of head office's own edits is kept
WITH gone AS (
    DELETE FROM tillsync.{log} l
     WHERE l.ctid = ANY (ARRAY(SELECT x.ctid FROM tillsync.{log} x WHERE x.xid < {xmin}::xid8 ORDER BY x.xid LIMIT {rows_max}))
    RETURNING {key_json} AS key, l.at, l.origin IS NULL AND {one_key} IS NOT NULL AS own),
kept AS (
    INSERT INTO tillsync.stamp AS m (tab, key, at, node, seen_at)
    SELECT {tab}, g.key, max(g.at), '', max(g.at) FROM gone g WHERE g.own GROUP BY g.key
    ON CONFLICT (tab, key) DO UPDATE SET at = excluded.at, node = excluded.node, seen_at = excluded.seen_at
     WHERE m.seen_at < excluded.seen_at)
SELECT count(*) FROM gone
