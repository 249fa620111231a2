-- {trigger}  its name and that of what it runs; {event}; {table} the captured table, or one below it, which fires its own
--            where a statement names it; {rows} the transition tables
CREATE OR REPLACE TRIGGER {trigger} AFTER {event} ON {table}
    {rows}FOR EACH STATEMENT EXECUTE FUNCTION tillsync.{trigger}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger};
