-- Submissions: one claim to one billing connection.

-- name: create
-- A claim that has not left, that the vendor refused, or that was withdrawn is not on file there: as it is now, it may
-- go under the same id.
insert into submission
    (clinic_id, id, encounter_id, claim_id, connection, state, patient, account_number, frequency, prior_id)
values ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9)
on conflict (clinic_id, connection, claim_id) do update
set state = 'queued', reason = '', prior_id = excluded.prior_id, frequency = excluded.frequency,
    updated_at = clock_timestamp()
where submission.batch_number is null and submission.state in ('queued', 'rejected', 'held');

-- name: submission
select * from submission_record where clinic_id = $1 and id = $2;

-- name: of_encounter
select * from submission_record where clinic_id = $1 and encounter_id = $2
order by created_at desc, id;

-- name: of_encounter_locked
-- As they are now and stay until this transaction ends: nothing of the encounter leaves meanwhile.
select * from submission_record where clinic_id = $1 and encounter_id = $2
order by created_at desc, id for update;

-- name: batch_members
select * from submission_record
where clinic_id = $1 and connection = $2 and state = 'batched' and batch_number is null
order by created_at, id limit $3 for update;

-- name: of_batch
select * from submission_record where clinic_id = $1 and connection = $2 and batch_number = $3
order by created_at, id;

-- name: to_ask
select * from submission_record
where clinic_id = $1 and connection = $2 and state in ('sent', 'received', 'accepted') and ask_at <= statement_timestamp()
order by ask_at limit $3;

-- name: named
-- What an outcome speaks of: a claim by the gateway's id ($3) or by its account number ($4), or a whole batch ($5).
select * from submission_record
where clinic_id = $1 and connection = $2
  and (id = $3 or ($3 = '' and account_number = $4 and $4 <> '') or ($3 = '' and $4 = '' and batch_number = $5))
order by created_at, id for update;

-- name: recall
-- Take a claim out of the waiting room again.
update submission set state = 'queued', updated_at = clock_timestamp()
where clinic_id = $1 and claim_id = $2 and state = 'batched' and batch_number is null;

-- name: withdraw
update submission set state = 'held', reason = 'withdrawn', updated_at = clock_timestamp()
where clinic_id = $1 and encounter_id = $2 and batch_number is null and state in ('queued', 'batched', 'rejected');

-- name: start_sending
-- Only a queued submission, or ($6) one in doubt whose bytes are repeated: of two workers that both believe it is
-- theirs, one alone may send it.
update submission
set state = 'sending', content_type = $3, payload = $4, fields = $5, attempts = attempts + 1, reason = '',
    sent_at = coalesce(sent_at, clock_timestamp()), updated_at = clock_timestamp()
where clinic_id = $1 and id = $2 and (state = 'queued' or ($6 and state = 'uncertain'))
returning id;

-- name: set_state
-- A vendor's own word that came meanwhile stands.
update submission set state = $3, reason = $4, updated_at = clock_timestamp()
where clinic_id = $1 and id = $2 and state in ('queued', 'batched', 'sending', 'uncertain', 'held')
returning id;

-- name: record_receipt
update submission
set state = $3, evidence = $4, vendor_ids = $5, calls = calls + $6, reason = '', ask_at = clock_timestamp(),
    updated_at = clock_timestamp(), confirmed_at = coalesce(confirmed_at, clock_timestamp())
where clinic_id = $1 and id = $2 and state in ('queued', 'sending', 'uncertain')
returning id;

-- name: record_outcome
-- Asked again after $7; without it the next asking stays as it was, and ends with the last word.
update submission
set state = $3, evidence = $4, vendor_ids = $5, findings = $6,
    ask_at = case
        when $3 in ('adjudicated', 'rejected') or ($3 = 'accepted' and frequency = '8') then null
        when $7::interval is null then ask_at
        else clock_timestamp() + $7 end,
    reason = $8, updated_at = clock_timestamp(), confirmed_at = coalesce(confirmed_at, clock_timestamp())
where clinic_id = $1 and id = $2;

-- name: ask_later
update submission set ask_at = clock_timestamp() + $3::interval where clinic_id = $1 and id = $2;

-- name: send_again
-- Not on file. Only the encounter's present claim goes again; an older one is done with.
update submission s
set state = case when e.claim_id = s.claim_id then 'queued' else 'rejected' end, batch_number = null, reason = 'again',
    updated_at = clock_timestamp()
from encounter e
where s.clinic_id = $1 and s.id = $2 and s.state = $3 and e.clinic_id = s.clinic_id and e.id = s.encounter_id
returning s.state;

-- name: to_tell
-- The present claims of one EHR connection's encounters, whose state that EHR has not been told; voids tell themselves.
select s.id, s.encounter_id, e.ehr_encounter_id, s.claim_id, s.connection, s.state, s.account_number, s.patient, s.reason,
       s.updated_at, coalesce(s.evidence, '') as evidence
from submission s
join encounter e on e.clinic_id = s.clinic_id and e.claim_id = s.claim_id
where s.clinic_id = $1 and e.connection = $2 and s.frequency <> '8'
  and s.state in ('received', 'accepted', 'adjudicated', 'rejected') and s.told <> s.state
order by s.updated_at limit $3;

-- name: set_told
update submission set told = $3 where clinic_id = $1 and id = $2;
