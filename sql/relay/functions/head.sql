-- relay.head(): what central needs to know before a tick: the time here, epoch, the plan's number and digest, newest tick,
-- wanted snapshots, whether uploads or answers wait.
CREATE OR REPLACE FUNCTION relay.head() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM relay.caller('central');
    RETURN jsonb_build_object(
        'now', extract(epoch FROM clock_timestamp())::double precision,
        'epoch', (SELECT s.epoch FROM relay.state s),
        'plan_version', coalesce((SELECT max(p.version) FROM relay.plan p), 0),
        'plan_digest', (SELECT p.digest FROM relay.plan p ORDER BY p.version DESC LIMIT 1),
        'top', (SELECT jsonb_build_array(t.n, t.token) FROM relay.tick t ORDER BY t.n DESC LIMIT 1),
        'wants', coalesce((SELECT jsonb_agg(w.stream ORDER BY w.stream) FROM relay.want w), '[]'),
        'uploads', EXISTS (SELECT FROM relay.upload u WHERE u.taken_at IS NULL AND u.last),
        'results', EXISTS (SELECT FROM relay.result r));
END $$;
