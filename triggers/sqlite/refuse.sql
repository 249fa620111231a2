-- Has a statement fail that changes rows which are head office's (protect = "refuse"). Parameters: trigger, event, table,
-- differs (for an UPDATE: and a replicated value becomes another one), message.
CREATE TRIGGER $trigger BEFORE $event ON $table
WHEN (SELECT applying FROM tillsync_state) IS NOT 1$differs
BEGIN
    SELECT RAISE(ABORT, $message);
END
