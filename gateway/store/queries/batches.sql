-- Batches of claims under control numbers, and the messages that vendors send about claims.

-- name: join
update submission
set state = 'batched', content_type = $3, payload = $4, fields = $5, batch_number = null, reason = '',
    updated_at = clock_timestamp()
where clinic_id = $1 and id = $2 and state in ('queued', 'batched') and batch_number is null
returning connection;

-- name: is_full
-- Whether a whole batch waits, and none is under way whose fate must be settled first.
select (select count(*) from submission
        where clinic_id = $1 and connection = $2 and state = 'batched' and batch_number is null) >= $3
   and not exists (select 1 from batch
        where clinic_id = $1 and connection = $2 and state in ('queued', 'sending', 'uncertain'));

-- name: next_number
-- Nine digits, as ISA13 wants them; the row's lock makes senders of one connection take turns.
insert into control_number as c (clinic_id, connection, last_number) values ($1, $2, 1)
on conflict (clinic_id, connection) do update set last_number = c.last_number % 999999999 + 1
returning last_number;

-- name: insert
insert into batch (clinic_id, connection, control_number, state, attempts, content_type, payload, fields)
values ($1, $2, $3, 'sending', 1, $4, $5, $6)
returning created_at;

-- name: take_members
with taken as (
    update submission
    set state = 'sending', batch_number = $3, attempts = attempts + 1, reason = '',
        sent_at = coalesce(sent_at, clock_timestamp()), updated_at = clock_timestamp()
    where clinic_id = $1 and connection = $2 and id = any($4::text[]) and state = 'batched' and batch_number is null
    returning id)
select count(*)::integer from taken;

-- name: open
-- The oldest batch whose fate is not known.
select connection, control_number, state, content_type, payload, fields, created_at
from batch
where clinic_id = $1 and connection = $2 and state in ('queued', 'sending', 'uncertain')
order by control_number limit 1;

-- name: batch
select connection, control_number, state, content_type, payload, fields, created_at
from batch where clinic_id = $1 and connection = $2 and control_number = $3;

-- name: open_numbered
select connection, control_number, state, content_type, payload, fields, created_at
from batch
where clinic_id = $1 and connection = $2 and control_number = $3 and state in ('queued', 'sending', 'uncertain')
for update;

-- name: set_state
-- A batch whose fate is known keeps it.
update batch
set state = $4, reason = $5, attempts = attempts + ($4 = 'sending')::integer, updated_at = clock_timestamp()
where clinic_id = $1 and connection = $2 and control_number = $3 and state in ('queued', 'sending', 'uncertain')
returning control_number;

-- name: set_members
-- The claims of a batch go with it; those that a message has spoken of already do not.
update submission set state = $4, reason = $5, updated_at = clock_timestamp()
where clinic_id = $1 and connection = $2 and batch_number = $3 and state in ('batched', 'sending', 'uncertain');

-- name: dissolve_members
-- One in doubt keeps its number: a late acknowledgement speaks of the batch.
update submission
set state = $4, batch_number = case when $4 = 'uncertain' then batch_number end, reason = 'batch',
    updated_at = clock_timestamp()
where clinic_id = $1 and connection = $2 and batch_number = $3 and state in ('batched', 'sending', 'uncertain')
returning id, encounter_id;

-- name: record_members
with sent as (
    update submission
    set state = $4, evidence = $5, vendor_ids = $6, calls = calls + $7, reason = '', ask_at = clock_timestamp(),
        updated_at = clock_timestamp(), confirmed_at = coalesce(confirmed_at, clock_timestamp())
    where clinic_id = $1 and connection = $2 and batch_number = $3 and state in ('batched', 'sending', 'uncertain')
    returning encounter_id, claim_id, frequency)
update encounter e
set state = case
        when exists (select 1 from hold h where h.clinic_id = $1 and h.encounter_id = e.id and h.state = 'open') then 'held'
        when sent.frequency = '8' then 'withdrawn'
        else 'submitted' end,
    updated_at = clock_timestamp()
from sent where e.clinic_id = $1 and e.id = sent.encounter_id and e.claim_id = sent.claim_id;

-- name: put
insert into job (clinic_id, kind, ordering_key, arguments, trace) values ($1, $2, $3, $4, $5);

-- name: put_later
-- The connection's transmit job, unless it is there already.
insert into job (clinic_id, kind, ordering_key, arguments, trace, run_at)
select $1, $2, $3, $4, $5, clock_timestamp() + $6::interval
where not exists (select 1 from job where clinic_id = $1 and ordering_key = $3);

-- name: something_waits
select exists (select 1 from submission
               where clinic_id = $1 and connection = $2 and state = 'batched' and batch_number is null)
    or exists (select 1 from batch
               where clinic_id = $1 and connection = $2 and state in ('queued', 'sending', 'uncertain'));

-- name: keep_message
insert into inbound_message (clinic_id, connection, digest, name, content, state, outcomes, unmatched)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict do nothing returning true;
