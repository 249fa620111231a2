-- relay.want_snapshot(streams): asks central for snapshots of streams that the branch is subscribed to.
CREATE OR REPLACE FUNCTION relay.want_snapshot(streams integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me text := relay.caller('branch');
BEGIN
    INSERT INTO relay.want (stream)
        SELECT s.stream FROM relay.subscription s WHERE s.node = me AND s.until IS NULL AND s.stream = ANY (streams)
        ON CONFLICT DO NOTHING;
END $$;
