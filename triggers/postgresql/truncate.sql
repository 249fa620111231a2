-- {function}  its name; {log} its log
-- A truncation is logged as such, one row without a key: which rows it took only the ledger knows for certain.
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
BEGIN
    INSERT INTO tillsync.{log} DEFAULT VALUES;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
