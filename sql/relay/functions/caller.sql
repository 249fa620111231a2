-- relay.caller(kind): the node of the login that calls, which must be of this kind. Never an argument: session_user.
-- Raises 42501 with a line for the operator where the login is unknown.
CREATE OR REPLACE FUNCTION relay.caller(kind text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me text;
BEGIN
    SELECT a.node INTO me FROM relay.account a WHERE a.role = session_user AND a.kind = caller.kind;
    IF me IS NULL THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('the account %s is not registered as a %s account of this relay', session_user, kind);
    END IF;
    RETURN me;
END $$;
