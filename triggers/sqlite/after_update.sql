-- Captures an UPDATE that changes a replicated column. Parameters: trigger, table, shape, differs (true where a
-- replicated value is another one, or of another type), log_old, old, log_new, new.
-- There is no UPDATE OF list: it compares names, and `SET rowid = ...` or a generated column would slip through.
CREATE TRIGGER $trigger AFTER UPDATE ON $table
WHEN (SELECT applying FROM tillsync_state) IS NOT 1 AND ($differs)
BEGIN
    INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_old, $log_new)
    VALUES (random(), $shape, 'U', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $old, $new);
END
