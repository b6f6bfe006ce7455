-- Submissions: one claim to one billing connection.

-- name: create
-- A claim that the vendor refused is not on file there: once corrected it may go again under the same id.
insert into submission (clinic_id, id, encounter_id, claim_id, connection, state)
values ($1, $2, $3, $4, $5, 'queued')
on conflict (clinic_id, connection, claim_id) do update
set state = 'queued', reason = '', updated_at = clock_timestamp()
where submission.state = 'rejected';

-- name: submission
select clinic_id, id, encounter_id, claim_id, connection, state, content_type, payload, fields, updated_at
from submission where clinic_id = $1 and id = $2;

-- name: possibly_sent
-- Only a submission that is still queued, was refused, or was held before sending has surely not left.
select exists (
    select 1 from submission
    where clinic_id = $1 and claim_id = $2 and state not in ('queued', 'rejected', 'held'));

-- name: start_sending
-- Only a queued submission: of two workers that both believe it is theirs, one alone may send it.
update submission
set state = 'sending', content_type = $3, payload = $4, fields = $5, attempts = attempts + 1, reason = '',
    updated_at = clock_timestamp()
where clinic_id = $1 and id = $2 and state = 'queued'
returning id;

-- name: set_state
update submission set state = $3, reason = $4, updated_at = clock_timestamp() where clinic_id = $1 and id = $2;

-- name: record_receipt
update submission
set state = $3, evidence = $4, vendor_ids = $5, calls = calls + $6, reason = '',
    updated_at = clock_timestamp(), confirmed_at = coalesce(confirmed_at, clock_timestamp())
where clinic_id = $1 and id = $2;
