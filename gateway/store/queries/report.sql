-- What `gateway status`, `gateway holds` and the demo show.

-- name: encounters
select e.id, e.ehr_encounter_id, e.connection, e.state, s.id as submission_id, s.state as submission_state, s.connection as billing,
       s.frequency,
       s.calls, extract(epoch from s.confirmed_at)::float8 as confirmed_at,
       extract(epoch from e.updated_at)::float8 as updated_at,
       exists (select 1 from job j where j.clinic_id = e.clinic_id and j.ordering_key = e.id) as pending
from encounter e
left join submission s on s.clinic_id = e.clinic_id and s.claim_id = e.claim_id
where e.clinic_id = $1
order by e.received_at, e.id;

-- name: states
select e.state, count(*)::integer as count from encounter e where e.clinic_id = $1 group by e.state;

-- name: holds
select h.encounter_id, e.ehr_encounter_id, h.submission_id, h.step, h.findings, h.created_at
from hold h join encounter e on e.clinic_id = h.clinic_id and e.id = h.encounter_id
where h.clinic_id = $1 and h.state = 'open'
order by h.created_at;

-- name: audit_count
select count(*)::integer from audit_event where clinic_id = $1;

-- name: queue
select kind, count(*)::integer as waiting, count(owner)::integer as running,
       extract(epoch from greatest(interval '0', clock_timestamp() - min(run_at) filter (where owner is null)))::float8
           as overdue_seconds
from job where clinic_id = $1 group by kind order by kind;

-- name: dead_letters
select kind, ordering_key, reason, died_at from dead_letter where clinic_id = $1 order by died_at;

-- name: stopped
select connection, reason, stopped_at from connection_stop where clinic_id = $1 order by connection;

-- name: batches
-- Transmissions whose fate is not known yet, and claims that wait for one.
select connection, control_number, state, reason, attempts, created_at from batch
where clinic_id = $1 and state in ('queued', 'sending', 'uncertain')
order by connection, control_number;

-- name: messages
-- Vendors' messages that nobody could read, or that speak of claims which the gateway did not send.
select connection, state, count(*)::integer as messages, sum(unmatched)::integer as unmatched, max(received_at) as last
from inbound_message
where clinic_id = $1 and (state = 'unreadable' or unmatched > 0)
group by connection, state order by connection, state;

-- name: unsubscribed
-- Connections whose EHR is still to be asked for notifications.
select j.ordering_key from job j
where j.clinic_id = $1 and j.kind = 'subscribe'
  and not exists (
      select 1 from ehr_subscription s
      where s.clinic_id = $1 and 'subscribe:' || s.connection = j.ordering_key and s.asked_at is not null);

-- name: polls
-- Each feed: the age of its cursor, its last poll and its next one, and when anything was pushed last.
select coalesce(f.connection, substr(j.ordering_key, 6)) as connection,
       case when f.position is not null then extract(epoch from clock_timestamp() - f.updated_at)::float8 end as cursor_seconds,
       extract(epoch from clock_timestamp() - f.polled_at)::float8 as polled_seconds,
       extract(epoch from clock_timestamp() - f.heard_at)::float8 as heard_seconds,
       extract(epoch from j.run_at - clock_timestamp())::float8 as next_seconds, j.last_error
from (select * from feed_cursor where clinic_id = $1) f
full join (select * from job where clinic_id = $1 and kind = 'poll') j on j.ordering_key = 'poll:' || f.connection
order by 1;

-- name: superbills
-- Superbills that no encounter has joined, the oldest first; `content` is the Claim with the EHR's own number.
select connection, id, content, findings, ready, received_at, changed_at,
       extract(epoch from clock_timestamp() - received_at)::float8 / 86400 as days
from superbill
where clinic_id = $1 and encounter_id is null
order by received_at, id;

-- name: backfills
-- Those that were stopped before their end: `gateway backfill` with the same days goes on from the position.
select connection as listing, position, updated_at from feed_cursor
where clinic_id = $1 and connection like '% backfill %' and position <> '' order by connection;
