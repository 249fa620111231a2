-- relay.drop_account(node): revokes every login of a branch at once. What it sent stays.
CREATE OR REPLACE FUNCTION relay.drop_account(node text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    login name;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a pooler may have dropped the caller's own
    PERFORM relay.caller('central');
    FOR login IN DELETE FROM relay.account a WHERE a.node = drop_account.node AND a.kind = 'branch' RETURNING a.role LOOP
        EXECUTE format('DROP ROLE %I', login);
    END LOOP;
    DELETE FROM relay.machine m WHERE m.node = drop_account.node;
    DELETE FROM relay.subscription s WHERE s.node = drop_account.node;
END $$;
