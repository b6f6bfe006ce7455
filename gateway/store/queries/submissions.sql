-- Submissions: one claim to one billing connection.

-- name: create
-- A claim that the vendor refused, or that was withdrawn before it was sent, is not on file there: once corrected it
-- may go again under the same id.
insert into submission
    (clinic_id, id, encounter_id, claim_id, connection, state, patient, account_number, frequency, prior_id)
values ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9)
on conflict (clinic_id, connection, claim_id) do update
set state = 'queued', reason = '', prior_id = excluded.prior_id, frequency = excluded.frequency,
    updated_at = clock_timestamp()
where submission.state in ('rejected', 'held');

-- name: submission
select * from submission_record where clinic_id = $1 and id = $2;

-- name: of_encounter
select * from submission_record where clinic_id = $1 and encounter_id = $2
order by created_at desc, id;

-- name: batch_members
select * from submission_record
where clinic_id = $1 and connection = $2 and state = 'batched' and batch_number is null
order by created_at, id limit $3;

-- name: of_batch
select * from submission_record where clinic_id = $1 and connection = $2 and batch_number = $3
order by created_at, id;

-- name: to_ask
select * from submission_record
where clinic_id = $1 and connection = $2 and state in ('sent', 'received', 'accepted') and ask_at <= clock_timestamp()
order by ask_at limit $3;

-- name: named
-- What an outcome speaks of: a claim by the gateway's id ($3) or by its account number ($4), or a whole batch ($5).
select * from submission_record
where clinic_id = $1 and connection = $2
  and (id = $3 or ($3 = '' and account_number = $4 and $4 <> '') or ($3 = '' and $4 = '' and batch_number = $5))
order by created_at, id;

-- name: recall
-- Take a claim out of the waiting room again, and tell whether any submission of it may have left by now.
with recalled as (
    update submission set state = 'queued', updated_at = clock_timestamp()
    where clinic_id = $1 and claim_id = $2 and state = 'batched' and batch_number is null
    returning id)
select exists (
    select 1 from submission
    where clinic_id = $1 and claim_id = $2 and state not in ('queued', 'rejected', 'held')
      and id not in (select id from recalled));

-- name: withdraw
update submission set state = 'held', reason = 'withdrawn', updated_at = clock_timestamp()
where clinic_id = $1 and encounter_id = $2 and batch_number is null and state in ('queued', 'batched', 'rejected');

-- name: start_sending
-- Only a queued submission: of two workers that both believe it is theirs, one alone may send it.
update submission
set state = 'sending', content_type = $3, payload = $4, fields = $5, attempts = attempts + 1, reason = '',
    sent_at = coalesce(sent_at, clock_timestamp()), updated_at = clock_timestamp()
where clinic_id = $1 and id = $2 and state = 'queued'
returning id;

-- name: set_state
update submission set state = $3, reason = $4, updated_at = clock_timestamp() where clinic_id = $1 and id = $2;

-- name: record_receipt
update submission
set state = $3, evidence = $4, vendor_ids = $5, calls = calls + $6, reason = '', ask_at = clock_timestamp(),
    updated_at = clock_timestamp(), confirmed_at = coalesce(confirmed_at, clock_timestamp())
where clinic_id = $1 and id = $2;

-- name: record_outcome
-- Only over the state that was judged: a submission that has moved on meanwhile is judged anew next time.
update submission
set state = $4, evidence = $5, vendor_ids = $6, findings = $7, ask_at = clock_timestamp() + $8::interval,
    reason = $9, updated_at = clock_timestamp(), confirmed_at = coalesce(confirmed_at, clock_timestamp())
where clinic_id = $1 and id = $2 and state = $3
returning id;

-- name: send_again
update submission set state = 'queued', batch_number = null, reason = '', updated_at = clock_timestamp()
where clinic_id = $1 and id = $2;
