-- What the rows of captured tables were when capture or an apply last accounted for them: the memory that tells, after the
-- application's schema changed under the triggers, what was written without them. Templates as in sql/till/queries.sql;
-- $known is a table tillsync_known_<shape> whose columns are the shape's images by their place (c1, c2, ..), of all columns
-- or of the key alone.

-- name: make
CREATE TABLE $known ($columns, PRIMARY KEY ($key)) WITHOUT ROWID

-- name: fill
INSERT OR IGNORE INTO $known ($columns) SELECT $values FROM $table AS t WHERE $has_key

-- name: follow_made
-- The newest image of every row that was captured since: the last one stays. Parameters: after which seq.
INSERT OR REPLACE INTO $known ($columns) SELECT $images FROM tillsync_changelog
 WHERE seq > ?1 AND tab = $shape AND op IN ('I', 'U') AND $has_key ORDER BY seq

-- name: follow_gone
-- Keys whose newest entry took them away.
WITH gone AS (SELECT $old_key, max(seq) AS seq FROM tillsync_changelog
               WHERE seq > ?1 AND tab = $shape AND op IN ('D', 'U') GROUP BY $old_places),
made AS (SELECT $new_key, max(seq) AS seq FROM tillsync_changelog
          WHERE seq > ?1 AND tab = $shape AND op IN ('I', 'U') GROUP BY $new_places)
DELETE FROM $known WHERE ($key) IN (
    SELECT $gone_key FROM gone WHERE NOT EXISTS (SELECT 1 FROM made WHERE $made_is_gone AND made.seq >= gone.seq))

-- name: applied_cut
-- Rows that an apply took away. $touched has the keys that it touched.
DELETE FROM $known WHERE $is_touched AND NOT EXISTS (SELECT 1 FROM $table AS t WHERE $is_known)

-- name: applied_put
INSERT OR REPLACE INTO $known ($columns) SELECT $values FROM temp.$touched AS k CROSS JOIN $table AS t WHERE $is_key

-- name: count_gone
SELECT count(*) FROM $known AS k WHERE NOT EXISTS (SELECT 1 FROM $table AS t WHERE $is_known)

-- name: rescan_gone
-- Rows that are no longer there and that nobody saw go.
INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_old)
SELECT random(), $shape, 'D', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $old
  FROM $known AS k WHERE NOT EXISTS (SELECT 1 FROM $table AS t WHERE $is_known)

-- name: rescan_changed
-- Rows that are otherwise than they were last seen.
INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_old, $log_new)
SELECT random(), $shape, 'U', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $old, $new
  FROM $known AS k CROSS JOIN $table AS t WHERE $is_known AND ($differs)

-- name: rescan_new
-- Rows that nobody saw come.
INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_new)
SELECT random(), $shape, 'I', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $new
  FROM $table AS t WHERE $has_key AND NOT EXISTS (SELECT 1 FROM $known AS k WHERE $known_is_row)
