-- Captures a DELETE, also one that a foreign key cascades. Parameters: trigger, table, shape, log_old, old.
CREATE TRIGGER $trigger AFTER DELETE ON $table
WHEN (SELECT applying FROM tillsync_state) IS NOT 1
BEGIN
    INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_old)
    VALUES (random(), $shape, 'D', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $old);
END
