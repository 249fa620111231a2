-- {trigger}  its name and that of what it runs; {table} the captured table, or one below it, which fires its own where a
--            statement names it; {event}; {each} with the transition tables; {mode} ALWAYS, or REPLICA
CREATE OR REPLACE TRIGGER {trigger} AFTER {event} ON {table}
    {each} EXECUTE FUNCTION tillsync.{trigger}();
ALTER TABLE {table} ENABLE {mode} TRIGGER {trigger};
