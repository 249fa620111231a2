-- The till's operator and his notices. What is due is the net of what nobody has acknowledged: the view tillsync_notice_due.

-- name: due
-- Parameter: a kind, or null for all.
SELECT id, kind, central, till, key, "column", old, new, tick, since, at FROM tillsync_notice_due
 WHERE (?1 IS NULL OR kind = ?1) ORDER BY id

-- name: past
-- What was acknowledged, the newest first. Parameters: a kind, or null for all; how many.
SELECT id, kind, central, till, key, "column", old, new, tick, at, acked, acked_by FROM tillsync_notice
 WHERE acked IS NOT NULL AND (?1 IS NULL OR kind = ?1) ORDER BY acked DESC, id DESC LIMIT ?2

-- name: ack
-- Acknowledges a notice with the changes before it that it sums up. Later ones stay: they were not seen.
UPDATE tillsync_notice SET acked = :at, acked_by = :who
 WHERE acked IS NULL AND id <= :id
   AND (kind, central, key, "column") = (SELECT n.kind, n.central, n.key, n."column" FROM tillsync_notice AS n WHERE n.id = :id)

-- name: counts
SELECT kind, count(*), min(since) FROM tillsync_notice_due GROUP BY kind

-- name: forget_acked
DELETE FROM tillsync_notice WHERE acked < :before

-- name: forget_nothing
-- Values that went and came back, and that nobody printed meanwhile.
DELETE FROM tillsync_notice
 WHERE id IN (SELECT n.id FROM tillsync_notice AS n
                JOIN (SELECT kind, central, key, "column", min(id) AS first, max(id) AS last FROM tillsync_notice
                       WHERE acked IS NULL GROUP BY kind, central, key, "column" HAVING max(at) < :before) AS open
                  ON n.kind = open.kind AND n.central = open.central AND n.key = open.key AND n."column" = open."column"
                JOIN tillsync_notice AS first ON first.id = open.first
                JOIN tillsync_notice AS last ON last.id = open.last
               WHERE n.acked IS NULL AND first.old IS last.new)

-- name: join_ends
-- Where many changes of a value wait, the first and the newest say it all: the newest begins where the first ended.
UPDATE tillsync_notice
   SET old = (SELECT f.new FROM tillsync_notice AS f
               WHERE f.acked IS NULL AND f.kind = tillsync_notice.kind AND f.central = tillsync_notice.central
                 AND f.key = tillsync_notice.key AND f."column" = tillsync_notice."column" ORDER BY f.id LIMIT 1)
 WHERE id IN (SELECT max(id) FROM tillsync_notice WHERE acked IS NULL
               GROUP BY kind, central, key, "column" HAVING count(*) > 2 AND max(at) < :before)

-- name: drop_between
DELETE FROM tillsync_notice
 WHERE acked IS NULL
   AND id IN (SELECT n.id FROM tillsync_notice AS n
                JOIN (SELECT kind, central, key, "column", min(id) AS first, max(id) AS last FROM tillsync_notice
                       WHERE acked IS NULL GROUP BY kind, central, key, "column"
                      HAVING count(*) > 2 AND max(at) < :before) AS open
                  ON n.kind = open.kind AND n.central = open.central AND n.key = open.key AND n."column" = open."column"
               WHERE n.acked IS NULL AND n.id > open.first AND n.id < open.last)
