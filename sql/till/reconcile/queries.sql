-- Statements of a comparison at a till; templates as in sql/till/queries.sql.

-- name: ask
INSERT OR REPLACE INTO tillsync_asked (kind, id, step, tick, token, ask) VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- name: slice
-- Some rows in an order that stands while others write. $at: what tells a row's place; after the place in $bound, if there is one.
SELECT $at, $columns FROM $table AS t $after ORDER BY $at LIMIT $rows

-- name: again
-- Enters a row as if it had just been made. $shape and the images as capture writes them.
INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_new)
SELECT random(), $shape, 'I', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $new FROM $table AS t WHERE $is_key
