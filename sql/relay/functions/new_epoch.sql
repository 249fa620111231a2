-- relay.new_epoch(epoch): central's history and the relay's have parted. Every upload is offered to central again,
-- which knows by position what it has; every stream is wanted whole. What was answered in the epoch before counts no more:
-- the first tick of this one says it of each branch, and of one that it does not name nothing is known.
CREATE OR REPLACE FUNCTION relay.new_epoch(epoch bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a pooler may have dropped the caller's own
    PERFORM relay.caller('central');
    UPDATE relay.state SET epoch = epoch;
    DELETE FROM relay.ack;
    UPDATE relay.upload SET taken_at = NULL WHERE taken_at IS NOT NULL;
END $$;
