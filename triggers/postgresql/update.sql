-- {function}  its name; {log} its log; {columns} key columns
-- {key}       the key columns
-- {compared}  the key and every replicated column, each in a form whose equality is sameness
-- {absent}    as in insert.sql
-- Set operations and no join: a join over transition tables keeps the plan of the session's first small update.
-- A key is logged where its old image is not among the new ones, or where it is itself new: that covers changed rows,
-- changed keys and keys that move on to other rows, and drops updates that change nothing that is replicated.
CREATE OR REPLACE FUNCTION tillsync.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $capture$
#variable_conflict use_column
BEGIN
    INSERT INTO tillsync.{log} ({columns})
        SELECT {key} FROM (
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {key}, {compared} FROM old_rows) r
            EXCEPT
            SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {key}, {compared} FROM new_rows) r) changed
        UNION
        (SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {key} FROM new_rows) r
         EXCEPT
         SELECT r.* FROM {absent} CROSS JOIN LATERAL (SELECT {key} FROM old_rows) r);
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION tillsync.{function}() FROM PUBLIC;
