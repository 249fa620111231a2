-- {function}  its name; {log} its log; {columns} key and routing columns; {absent}  as in insert.sql
-- What logical replication brings is written row by row, and fires no statement trigger but that of TRUNCATE. This one fires
-- where session_replication_role is replica, as it is there. EXECUTE, because a plan of NEW.* outlives the table's row type.
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        EXECUTE $log$INSERT INTO tillsync.{log} ({columns})
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns} FROM (SELECT ($1).*) a_row) r$log$ USING OLD;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        EXECUTE $log$INSERT INTO tillsync.{log} ({columns})
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {columns} FROM (SELECT ($1).*) a_row) r$log$ USING NEW;
    END IF;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
