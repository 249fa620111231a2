-- a plan {version} with its {body}; the same version again replaces it
INSERT INTO tillsync.plan (version, body) VALUES ({version}, {body})
ON CONFLICT (version) DO UPDATE SET body = excluded.body;
