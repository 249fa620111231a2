-- Entries of the changelog that SQLite had written before the entry of their cause. Templates as in sql/till/queries.sql.

-- name: changed_tables
-- The shapes whose rows were changed or deleted after a place.
SELECT DISTINCT tab FROM tillsync_changelog WHERE seq > ?1 AND op IN ('U', 'D')

-- name: actions
-- Foreign keys that change or delete the rows that refer: the referred table, the one that refers, the column that is referred to
-- (NULL: the primary key).
SELECT f."table", m.name, f."to"
  FROM main.sqlite_master m, pragma_foreign_key_list(m.name, 'main') f
 WHERE m.type = 'table' AND (f.on_update NOT IN ('NO ACTION', 'RESTRICT') OR f.on_delete NOT IN ('NO ACTION', 'RESTRICT'))

-- name: with_triggers
-- Tables with a trigger of the application's.
SELECT DISTINCT lower(tbl_name) FROM main.sqlite_master
 WHERE type = 'trigger' AND name NOT LIKE 'tillsync\_%' ESCAPE '\'

-- name: may_have_caused
-- Whether a row was deleted, or a referred column changed. $moved: one of them is another one.
SELECT 1 FROM tillsync_changelog WHERE seq > ?1 AND tab = $shape AND (op = 'D' OR op = 'U' AND ($moved)) LIMIT 1

-- name: entries
-- The entries of one shape, the newest first. $images: bytewise, see `cascades.py`.
SELECT seq, op, $images FROM tillsync_changelog WHERE seq > ?1 AND tab = $shape ORDER BY seq DESC

-- name: row
-- The row that has the key of an entry's image, as it is now. The first term of $same may use an index of any collation.
SELECT $images FROM tillsync_changelog AS m CROSS JOIN main.$table AS t WHERE m.seq = ?1 AND $same

-- name: aside
UPDATE tillsync_changelog SET seq = -?1 WHERE seq = ?2

-- name: back
UPDATE tillsync_changelog SET seq = -seq WHERE seq < 0
