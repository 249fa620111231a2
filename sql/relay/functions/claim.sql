-- relay.claim(identity): the machine that a branch's file lives on says so, once. Another machine that comes with a copy of
-- the file finds this in hello, and is noted; a person says then which of them is the branch (relay.release).
CREATE OR REPLACE FUNCTION relay.claim(identity text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    me text := relay.caller('branch');
BEGIN
    IF length(identity) > 200 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the identity of a machine is too long';
    END IF;
    INSERT INTO relay.machine AS m (node, identity) VALUES (me, identity)
        ON CONFLICT ON CONSTRAINT machine_pkey DO UPDATE SET other = excluded.identity, other_at = excluded.at
        WHERE m.identity <> excluded.identity AND (m.other_at IS NULL OR m.other_at < excluded.at - interval '1 minute');
END $$;
