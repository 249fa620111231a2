-- Statements of the agent at a till, as templates: $table and the like are filled in with quoted identifiers and lists
-- made from the plan and the till's own catalog (orchestrator/till/target.py). Values are always bound.

-- name: upsert
-- Puts a row as central has it; columns that only the till has stay. $source is VALUES (..) or a SELECT that leaves
-- out pending keys. A row that is the same already is not written, so that the application's triggers do not fire.
INSERT INTO $table ($columns) $source
ON CONFLICT ($key) DO UPDATE SET $set WHERE $differs

-- name: insert_only
-- As upsert, for a table whose every column is its key.
INSERT INTO $table ($columns) $source ON CONFLICT ($key) DO NOTHING

-- name: cut
-- Removes a row by its key.
DELETE FROM $table WHERE $is_key$unless_pending

-- name: cut_strangers
-- The deleting half of a snapshot: rows that it does not have. Pending ones stay.
DELETE FROM $table WHERE NOT EXISTS (SELECT 1 FROM temp.$members AS m WHERE $is_member)$unless_pending

-- name: extra
-- Parameters: central's table, tick, at.
INSERT INTO tillsync_extra (central, statement, tick, at) SELECT ?1, $statement, ?2, ?3 FROM $table WHERE $condition

-- name: adopt
-- A till's own values over head office's, as a change of them.
INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_old, $log_new)
SELECT random(), $shape, 'U', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $old, $new
  FROM $source WHERE $is_key AND ($differs)

-- name: pending
-- Keys with own changes after the ack, from one kind of image (o or n) of one shape. Parameters: ack's seq, shape.
INSERT OR IGNORE INTO temp.$pending SELECT $images FROM main.tillsync_changelog
 WHERE seq > ?1 AND tab = ?2 AND op <> '$not_op' AND op <> 'M'

-- name: block
-- Marks incoming rows that wait: a row that does not itself move in this tick holds a unique value they need.
UPDATE temp.tillsync_incoming AS s SET wait = $reason
 WHERE s.wait IS NULL
   AND EXISTS (SELECT 1 FROM $table AS held
                WHERE $matches AND NOT ($is_same)
                  AND NOT EXISTS (SELECT 1 FROM temp.tillsync_incoming AS m WHERE m.wait IS NULL AND $m_is_held))

-- name: find_moving
-- Keeps whole the rows that move in this tick and hold a unique value that another incoming row needs.
INSERT OR IGNORE INTO temp.tillsync_moving
SELECT $held FROM temp.tillsync_incoming AS s CROSS JOIN $table AS held
 WHERE s.wait IS NULL AND $matches AND NOT ($is_same)
   AND EXISTS (SELECT 1 FROM temp.tillsync_incoming AS m WHERE m.wait IS NULL AND $m_is_held)

-- name: put_moved
-- Puts a row that was taken out of the way again: central's columns are new, the till's own are as they were.
INSERT INTO $table ($columns) SELECT $values FROM temp.tillsync_moving AS held WHERE $is_key

-- name: put_back
-- A moved row that could not be put: as it was before.
INSERT INTO $table ($columns) SELECT $held FROM temp.tillsync_moving AS held WHERE $is_key

-- name: problem
-- A row that cannot be put. Parameters: central's table, key, kind, reason, body, tick, at.
INSERT INTO tillsync_problem (central, key, kind, reason, body, tick, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (central, key, kind) DO UPDATE SET reason = excluded.reason, body = excluded.body, tick = excluded.tick

-- name: remember
-- Notes the touched rows before they change: whether each was there, and its watched columns.
UPDATE temp.$touched SET (was$before) = (SELECT 1$watched FROM $table AS held WHERE $is_key)

-- name: notice
-- The net change of one watched column. Parameters: kind, central's table, till's table, column, tick, at.
INSERT INTO tillsync_notice (kind, central, till, key, "column", old, new, tick, at)
SELECT ?1, ?2, ?3, json_array($touched_key), ?4, b.$before, held.$column, ?5, ?6
  FROM temp.$touched AS b LEFT JOIN $table AS held ON $is_key
 WHERE b.$before IS NOT held.$column COLLATE BINARY AND (b.was OR held.$first_key IS NOT NULL)
 ORDER BY b.rowid

-- name: tell
-- A notice that no watched column gives. Parameters: kind, central's table, till's table, key, column, old, new, tick, at.
INSERT INTO tillsync_notice (kind, central, till, key, "column", old, new, tick, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)

-- name: orphans
-- Keys of rows that refer to a parent which is not there.
SELECT $key FROM $source WHERE $refers AND NOT EXISTS (SELECT 1 FROM main.$parent AS parent WHERE $is_parent) LIMIT $limit

-- name: orphan
-- Notes one of them. Parameters: central's table, key, reason, tick, at.
INSERT INTO tillsync_problem (central, key, kind, reason, tick, at) VALUES (?1, ?2, 'orphan', ?3, ?4, ?5)
ON CONFLICT (central, key, kind) DO UPDATE SET reason = excluded.reason
