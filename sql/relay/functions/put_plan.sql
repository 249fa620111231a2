-- relay.put_plan(version, body): publishes a plan; the same version again replaces it.
CREATE OR REPLACE FUNCTION relay.put_plan(version integer, body text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a pooler may have dropped the caller's own
    PERFORM relay.caller('central');
    INSERT INTO relay.plan (version, body, digest) VALUES (version, body, md5(convert_to(body, 'UTF8')))
        ON CONFLICT ON CONSTRAINT plan_pkey DO UPDATE SET body = excluded.body, digest = excluded.digest;
END $$;
