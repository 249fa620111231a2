-- relay.put_tick(n, epoch, token, plan_version, served): a tick's head; the wants that it serves are done.
-- Raises 23505 where the number is taken: another central publishes here.
CREATE OR REPLACE FUNCTION relay.put_tick(n bigint, epoch bigint, token bigint, plan_version integer, served integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a pooler may have dropped the caller's own
    PERFORM relay.caller('central');
    INSERT INTO relay.tick (n, epoch, token, plan_version) VALUES (n, epoch, token, plan_version);
    DELETE FROM relay.want w WHERE w.stream = ANY (served);
END $$;
