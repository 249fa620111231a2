-- What the clients of the relay call: each block is one call of one function.

-- name: hello
SELECT relay.hello()

-- name: get_plan
SELECT relay.get_plan()

-- name: push
SELECT relay.push(%(uid)s, %(part)s, %(last)s, %(prev_seq)s, %(prev_nonce)s, %(end_seq)s, %(end_nonce)s, %(frame)s)

-- name: uploads
SELECT * FROM relay.uploads(%(after)s)

-- name: knows
SELECT relay.knows(%(n)s, %(token)s)

-- name: snapshots
SELECT * FROM relay.snapshots()

-- name: pull
SELECT * FROM relay.pull(%(after)s, %(snapshot_streams)s::integer[], %(ticks_max)s, %(bytes_max)s, %(inline_bytes)s)

-- name: parts
SELECT * FROM relay.parts(%(n)s, %(stream)s, %(kind)s, %(first)s, %(bytes_max)s)

-- name: claim
SELECT relay.claim(%(identity)s)

-- name: hold_lease
SELECT relay.hold_lease(%(holder)s, %(seconds)s)

-- name: release
SELECT relay.release(%(node)s)

-- name: put_reload
SELECT relay.put_reload(%(node)s, %(streams)s::integer[], %(n)s)

-- name: want_snapshot
SELECT relay.want_snapshot(%(streams)s::integer[])

-- name: report_status
SELECT relay.report_status(%(body)s)

-- name: head
SELECT relay.head()

-- name: put_tick
SELECT relay.put_tick(%(n)s, %(epoch)s, %(token)s, %(plan_version)s, %(served)s::integer[])

-- name: put_payload
SELECT relay.put_payload(%(stream)s, %(n)s, %(kind)s, %(part)s, %(frame)s)

-- name: put_echo
SELECT relay.put_echo(%(node)s, %(n)s, %(part)s, %(frame)s)

-- name: put_move
SELECT relay.put_move(%(node)s, %(channel)s, %(old_stream)s, %(new_stream)s, %(n)s)

-- name: put_ack
SELECT relay.put_ack(%(node)s, %(n)s, %(seq)s, %(nonce)s, %(gap)s)

-- name: fetch_uploads
SELECT * FROM relay.fetch_uploads(%(after_node)s, %(after_id)s, %(bytes_max)s)

-- name: mark_taken
SELECT relay.mark_taken(%(node)s, %(uids)s::bigint[])

-- name: taken_lately
SELECT * FROM relay.taken_lately()

-- name: offer_again
SELECT relay.offer_again(%(node)s, %(uids)s::bigint[])

-- name: purge
SELECT relay.purge(%(before_n)s, %(snapshots_before)s, %(uploads_before)s, %(rows_max)s)

-- name: new_epoch
SELECT relay.new_epoch(%(epoch)s)

-- name: put_plan
SELECT relay.put_plan(%(version)s, %(body)s)

-- name: put_subscription
SELECT relay.put_subscription(%(node)s, %(streams)s::integer[], %(channels)s::text[])

-- name: put_account
SELECT relay.put_account(%(node)s, %(role)s, %(verifier)s)

-- name: drop_account
SELECT relay.drop_account(%(node)s)

-- name: reports
SELECT node, at, body::text AS body, waiting_uploads FROM relay.reports()

-- name: put_result
SELECT relay.put_result(%(frame)s)

-- name: results
SELECT * FROM relay.results(%(rows_max)s)

-- name: drop_result
SELECT relay.drop_result(%(node)s, %(id)s)
