-- The EHRs' subscriptions, and the polls beside them.

-- name: of_connection
select * from ehr_subscription where clinic_id = $1 and connection = $2 order by created_at, id;

-- name: save
insert into ehr_subscription (clinic_id, connection, id, endpoint, topic, status, counts, heartbeat_seconds, began_at,
    ends_at, last_number, missing, gap_since, heard_at, asked_at, doubted)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
on conflict (clinic_id, connection, id) do update
set endpoint = excluded.endpoint, topic = excluded.topic, status = excluded.status, counts = excluded.counts,
    heartbeat_seconds = excluded.heartbeat_seconds, began_at = excluded.began_at, ends_at = excluded.ends_at,
    last_number = excluded.last_number, missing = excluded.missing, gap_since = excluded.gap_since,
    heard_at = excluded.heard_at, asked_at = excluded.asked_at, doubted = excluded.doubted;

-- name: drop
delete from ehr_subscription where clinic_id = $1 and connection = $2 and id = $3;

-- name: subscribe_anew
update ehr_subscription set asked_at = null where clinic_id = $1 and connection = $2;

-- name: hear
-- To the second: notifications that come together do not wait for each other here.
with noted as (
    update feed_cursor set heard_at = clock_timestamp()
    where clinic_id = $1 and connection = $2
      and (heard_at is null or heard_at < clock_timestamp() - interval '1 second'))
insert into feed_cursor (clinic_id, connection, heard_at)
select $1, $2, clock_timestamp()
where not exists (select 1 from feed_cursor where clinic_id = $1 and connection = $2)
on conflict do nothing;

-- name: cursor
select position from feed_cursor where clinic_id = $1 and connection = $2;

-- name: begin_poll
-- What is asked for from here on, this poll may not see.
insert into feed_cursor (clinic_id, connection) values ($1, $2)
on conflict (clinic_id, connection) do update set poll_asked = false
returning position;

-- name: end_poll
update feed_cursor set polled_at = clock_timestamp()
where clinic_id = $1 and connection = $2
returning poll_asked;

-- name: ask_poll
insert into feed_cursor (clinic_id, connection, poll_asked) values ($1, $2, true)
on conflict (clinic_id, connection) do update set poll_asked = true;

-- name: bring_poll_forward
-- No sooner than $4 after the poll before: notices that name nothing, however many, are no storm of queries.
update job j set run_at = least(j.run_at, greatest(clock_timestamp(), f.polled_at + $4::interval))
from feed_cursor f
where j.clinic_id = $1 and j.ordering_key = $3 and j.owner is null and f.clinic_id = $1 and f.connection = $2;

-- name: bring_forward
update job set run_at = least(run_at, clock_timestamp() + $3::interval)
where clinic_id = $1 and ordering_key = $2 and owner is null;
