-- A large tick beside the till's file: its parts as they come, then its rows as tables that are compared with the till's
-- before the till's file is locked. Templates as in sql/till/queries.sql; tillsync_stage is the attached side file. $put has
-- the rows of one table as c1, c2, ..; $cut the keys of those that go as k1, k2, ..

-- name: schema
CREATE TABLE IF NOT EXISTS tillsync_stage.tick (n INTEGER NOT NULL, epoch INTEGER NOT NULL, token INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tillsync_stage.part (
    kind TEXT, stream INTEGER, part INTEGER, frame BLOB NOT NULL, PRIMARY KEY (kind, stream, part)) WITHOUT ROWID

-- name: make
-- changed: null for a row that the till does not have, else one bit for each column that differs. care: a unique value that
-- the row needs is another row's now.
CREATE TABLE tillsync_stage.$put (
    $columns, changed INTEGER, care INTEGER NOT NULL DEFAULT 0, PRIMARY KEY ($key)) WITHOUT ROWID;
CREATE TABLE tillsync_stage.$cut ($key_declaration)

-- name: put
-- Compared with the till's row as it is laid out: one way through the rows instead of two.
INSERT OR REPLACE INTO tillsync_stage.$put ($names, changed)
VALUES ($bound, (SELECT $differences FROM $table AS held WHERE $held_is_bound))

-- name: cut
INSERT OR IGNORE INTO tillsync_stage.$cut VALUES ($bound)

-- name: put_no_more
DELETE FROM tillsync_stage.$put AS s WHERE $is_staged_key

-- name: cut_no_more
DELETE FROM tillsync_stage.$cut AS b WHERE $is_cut_key

-- name: strangers
-- The rows that the till has and the snapshot has not.
INSERT OR IGNORE INTO tillsync_stage.$cut
SELECT $held_key FROM $table AS held WHERE NOT EXISTS (SELECT 1 FROM tillsync_stage.$put AS s WHERE $staged_is_held)

-- name: drop_same
DELETE FROM tillsync_stage.$put WHERE changed = 0

-- name: collide
UPDATE tillsync_stage.$put AS s SET care = 1
 WHERE (s.changed IS NULL OR s.changed & $bits) AND EXISTS (SELECT 1 FROM $table AS held WHERE $matches AND NOT ($is_same))

-- name: make_notices
CREATE TABLE tillsync_stage.$notices ($keys, key TEXT, "column" TEXT, old, new)

-- name: notice_put
-- Parameters: the column's name, and its bit.
INSERT INTO tillsync_stage.$notices SELECT $staged_key, json_array($shown_key), ?1, held.$column, s.$place
  FROM tillsync_stage.$put AS s LEFT JOIN $table AS held ON $held_is_staged
 WHERE NOT s.care AND (s.changed & ?2 OR (s.changed IS NULL AND s.$place IS NOT NULL))

-- name: notice_cut
INSERT INTO tillsync_stage.$notices SELECT $cut_key, json_array($shown_key), ?1, held.$column, NULL
  FROM tillsync_stage.$cut AS b CROSS JOIN $table AS held ON $held_is_cut WHERE held.$column IS NOT NULL

-- name: apply_cut
DELETE FROM $table WHERE ($key) IN (SELECT $cut_key FROM tillsync_stage.$cut AS b WHERE 1$unless_pending)

-- name: apply_change
-- The plus keeps the till's table from being scanned for a few staged rows.
UPDATE $table AS held SET $set FROM tillsync_stage.$put AS s
 WHERE $held_is_staged AND s.changed > 0 AND NOT s.care$unless_pending

-- name: apply_new
INSERT INTO $table ($columns) SELECT $values FROM tillsync_stage.$put AS s
 WHERE s.changed IS NULL AND NOT s.care$upto$unless_pending

-- name: apply_notices
-- Parameters: kind, central's table, till's table, tick, at.
INSERT INTO tillsync_notice (kind, central, till, key, "column", old, new, tick, at)
SELECT ?1, ?2, ?3, s.key, s."column", s.old, s.new, ?4, ?5 FROM tillsync_stage.$notices AS s WHERE 1$unless_pending
 ORDER BY s.rowid

-- name: slice_end
-- The key of the last row of a slice of so many rows, or of all that are left. Parameter: rows.
SELECT $staged_key FROM (SELECT * FROM tillsync_stage.$put AS s WHERE s.changed IS NULL AND NOT s.care ORDER BY $staged_key LIMIT ?1) AS s
 ORDER BY $descending LIMIT 1

-- name: drop_slice
DELETE FROM tillsync_stage.$put AS s WHERE s.changed IS NULL AND NOT s.care$upto
