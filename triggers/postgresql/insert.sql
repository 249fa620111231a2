-- {function}, {trigger}  names; {table} the captured table; {log} its log; {columns} key and routing columns
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
BEGIN
    INSERT INTO tillsync.{log} ({columns}) SELECT {columns} FROM new_rows;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tillsync.{function}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger};
