-- What is known of troubles, and the messages about them: kept at central, so that a restart neither repeats nor forgets.

-- name: begin
-- one at a time looks and decides; the row is there from the first time on
INSERT INTO tillsync.notified (one) VALUES (true) ON CONFLICT (one) DO UPDATE SET one = true RETURNING digest_on

-- name: digested
UPDATE tillsync.notified SET digest_on = %(day)s

-- name: alerts
SELECT cause, subject, state, since, changed_at, what, remedy, flaps FROM tillsync.alert

-- name: keep
INSERT INTO tillsync.alert (cause, subject, state, since, changed_at, what, remedy, flaps)
VALUES (%(cause)s, %(subject)s, %(state)s, %(since)s, %(changed_at)s, %(what)s, %(remedy)s, %(flaps)s)
ON CONFLICT (cause, subject) DO UPDATE
   SET state = excluded.state, since = excluded.since, changed_at = excluded.changed_at, what = excluded.what,
       remedy = excluded.remedy, flaps = excluded.flaps

-- name: forget
DELETE FROM tillsync.alert WHERE cause = %s AND subject = %s

-- name: post
-- a message for one way; those that nobody took for a week are dropped, and what was sent is kept for a month
INSERT INTO tillsync.message (way, kind, title, body, at, next_at)
VALUES (%(way)s, %(kind)s, %(title)s, %(body)s, %(at)s, %(at)s)

-- name: claim
-- the oldest message that is due, of the ways that are open; it is not due again while it is being sent
UPDATE tillsync.message SET tries = tries + 1, next_at = %(again)s
 WHERE id = (SELECT id FROM tillsync.message
              WHERE sent_at IS NULL AND next_at <= %(now)s AND way = ANY(%(ways)s) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, way, kind, title, body, at, tries

-- name: sent
UPDATE tillsync.message SET sent_at = %(now)s, error = NULL WHERE id = %(id)s

-- name: failed
UPDATE tillsync.message SET next_at = %(again)s, error = %(error)s WHERE id = %(id)s

-- name: purge
DELETE FROM tillsync.message
 WHERE CASE WHEN sent_at IS NULL THEN at < %(now)s - interval '7 days' ELSE sent_at < %(now)s - interval '30 days' END

-- name: waiting
SELECT count(*) FROM tillsync.message WHERE sent_at IS NULL

-- name: day
-- what the day's summary tells of the time since an instant
SELECT (SELECT count(*) FROM tillsync.intent WHERE published_at > %(since)s) AS ticks,
       (SELECT count(*) FROM tillsync.inbound WHERE at > %(since)s) AS uploads,
       (SELECT coalesce(jsonb_object_agg(node, number), '{}') FROM
               (SELECT node, count(*) AS number FROM tillsync.conflict WHERE at > %(since)s GROUP BY node) c) AS conflicts,
       (SELECT coalesce(jsonb_object_agg(node, number), '{}') FROM
               (SELECT node, count(*) AS number FROM tillsync.parked WHERE state = 'parked' GROUP BY node) p) AS parked

-- name: told_since
SELECT DISTINCT ON (m.at, m.title) m.at, m.title FROM tillsync.message m
 WHERE m.at > %(since)s AND m.kind <> 'digest' ORDER BY m.at, m.title LIMIT 100
