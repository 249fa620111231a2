-- Captures an INSERT. Parameters: trigger, table, shape, log_new (names of the image columns), new (their values).
CREATE TRIGGER $trigger AFTER INSERT ON $table
WHEN (SELECT applying FROM tillsync_state) IS NOT 1
BEGIN
    INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_new)
    VALUES (random(), $shape, 'I', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $new);
END
