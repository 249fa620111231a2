-- One "look again" mark for each row that holds a unique value which the new row takes. Part of a BEFORE trigger.
-- Parameters: table, shape, log_old, held (the row's image), matches (the unique rule), other ("and it is not the row
-- that is being updated"; empty for an INSERT).
    INSERT INTO tillsync_changelog (nonce, tab, op, at, $log_old)
    SELECT random(), $shape, 'M', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), $held
    FROM $table AS held WHERE $matches$other;
