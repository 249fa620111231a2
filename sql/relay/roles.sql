-- Roles are the cluster's, not the database's: created once, shared by every relay of the cluster.
-- Another installation may be creating them at this moment; whoever comes second finds them there.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        ('tillsync_relay',   'NOLOGIN CREATEROLE'),
        ('tillsync_central', 'NOLOGIN'),
        ('tillsync_branch',  'NOLOGIN')) AS v (role, options)
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = wanted.role) THEN
                EXECUTE format('CREATE ROLE %I %s', wanted.role, wanted.options);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
-- the owner of the functions gives new branch accounts the branches' rights
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                    WHERE m.roleid = 'tillsync_branch'::regrole AND m.member = 'tillsync_relay'::regrole AND m.admin_option) THEN
        GRANT tillsync_branch TO tillsync_relay WITH ADMIN OPTION;
    END IF;
EXCEPTION WHEN unique_violation OR SQLSTATE 'XX000' THEN
    NULL;  -- "tuple concurrently updated": the same grant from another installation
END $$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'tillsync_relay', 'MEMBER') THEN
        EXECUTE format('GRANT tillsync_relay TO %I', current_user);
    END IF;
EXCEPTION WHEN unique_violation OR SQLSTATE 'XX000' THEN
    NULL;
END $$;
