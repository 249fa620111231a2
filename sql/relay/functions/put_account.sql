-- relay.put_account(node, role, verifier): a login for a branch. `verifier` is a SCRAM verifier made by the caller,
-- so that no password travels or is logged. The role can do nothing but execute the branches' functions.
CREATE OR REPLACE FUNCTION relay.put_account(node text, role text, verifier text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a pooler may have dropped the caller's own
    PERFORM relay.caller('central');
    IF verifier !~ '^SCRAM-SHA-256\$' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'an account takes a SCRAM verifier, not a password';
    END IF;
    IF EXISTS (SELECT FROM relay.account a WHERE a.role = put_account.role) THEN
        EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', role, verifier);
    ELSE
        EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 8 PASSWORD %L', role, verifier);
        EXECUTE format('GRANT tillsync_branch TO %I', role);
        INSERT INTO relay.account (role, node, kind) VALUES (role, node, 'branch');
    END IF;
END $$;
