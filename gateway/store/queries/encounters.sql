-- Encounters, the inbox, feeds, holds and connections.

-- name: lock_keys
-- Jobs of one key get their ids in commit order: enqueuers of a key take turns.
select pg_advisory_xact_lock(hashtextextended($1 || '/' || key, 77)) from (select unnest($2::text[]) as key order by 1) as keys;

-- name: accept
-- Keep each notice once, the encounter's row, and one waiting normalize job per encounter. $3 to $7 are parallel arrays.
-- A job that waits runs no less urgently than the new notice asks ($9) and, unless it has failed, no later ($8).
with arrived as (
    insert into inbox (clinic_id, connection, dedupe_key, encounter_id)
    select $1, $2, dedupe_key, encounter_id
    from unnest($3::text[], $4::text[]) as t(dedupe_key, encounter_id)
    on conflict do nothing
    returning encounter_id),
fresh as (
    select distinct on (t.encounter_id) t.encounter_id, t.ehr_encounter_id, t.trace, t.changed_at
    from unnest($4::text[], $5::text[], $6::text[], $7::text[]) as t(encounter_id, ehr_encounter_id, trace, changed_at)
    join arrived using (encounter_id)
    order by t.encounter_id, t.changed_at desc),
known as (
    insert into encounter (clinic_id, id, connection, ehr_encounter_id, state)
    select $1, encounter_id, $2, ehr_encounter_id, 'received' from fresh
    on conflict do nothing),
brought_forward as (
    update job j
    set run_at = case when j.last_error = any(waits.reasons) then least(j.run_at, waits.at) else j.run_at end,
        priority = least(j.priority, $9::smallint),
        last_error = case when j.last_error = any(waits.reasons) and waits.at < j.run_at then '' else j.last_error end,
        arguments = (j.arguments::jsonb || jsonb_build_object(
            'changed_at', greatest(j.arguments::jsonb ->> 'changed_at', fresh.changed_at)))::text
    from fresh, (select array['', 'not signed off yet', 'settling'] as reasons, clock_timestamp() + $8::interval as at) waits
    where j.clinic_id = $1 and j.ordering_key = fresh.encounter_id and j.kind = 'normalize' and j.owner is null
    returning j.ordering_key),
queued as (
    insert into job (clinic_id, kind, ordering_key, arguments, trace, priority, run_at)
    select $1, 'normalize', encounter_id, json_build_object('encounter_id', encounter_id, 'changed_at', changed_at)::text, trace,
           $9::smallint, clock_timestamp() + $8::interval
    from fresh
    where encounter_id not in (select ordering_key from brought_forward))  -- a worker may take the job at this moment
select count(*)::integer from arrived;

-- name: encounter
select clinic_id, id, connection, ehr_encounter_id, state, content_hash, generation, claim_id, send_before_go_live
from encounter where clinic_id = $1 and id = $2;

-- name: allow_before_go_live
-- Returns those of them that were held until now.
update encounter set send_before_go_live = true
where clinic_id = $1 and id = any($2::text[]) and not send_before_go_live
returning id, state = 'held' as held;

-- name: set_state
update encounter set state = $3, updated_at = clock_timestamp() where clinic_id = $1 and id = $2;

-- name: withdraw
-- Without its hash: signed off again, even the same content is news.
update encounter set state = 'withdrawn', content_hash = null, updated_at = clock_timestamp()
where clinic_id = $1 and id = $2;

-- name: forget_content
-- Even the same content is news when it is signed off again: nothing of it is on file.
update encounter set state = 'received', content_hash = null, updated_at = clock_timestamp()
where clinic_id = $1 and id = $2;

-- name: save_normalized
update encounter
set state = 'normalized', content_hash = $3, claim_id = $4, generation = $5, updated_at = clock_timestamp()
where clinic_id = $1 and id = $2;

-- name: set_cursor
insert into feed_cursor (clinic_id, connection, position) values ($1, $2, $3)
on conflict (clinic_id, connection) do update set position = excluded.position, updated_at = clock_timestamp();

-- name: supersede_holds
update hold set state = 'superseded', resolved_at = clock_timestamp()
where clinic_id = $1 and encounter_id = $2 and state = 'open';

-- name: set_done
-- A hold that was about the submission ($3) alone ends; the encounter moves on unless something else is open.
with released as (
    update hold set state = 'superseded', resolved_at = clock_timestamp()
    where clinic_id = $1 and encounter_id = $2 and submission_id = $3 and step in ('submit', 'reopened') and state = 'open'
    returning id)
update encounter e set state = $4, updated_at = clock_timestamp()
where e.clinic_id = $1 and e.id = $2
  and not exists (
      select 1 from hold h
      where h.clinic_id = $1 and h.encounter_id = e.id and h.state = 'open' and h.id not in (select id from released));

-- name: hold
insert into hold (clinic_id, encounter_id, submission_id, step, findings) values ($1, $2, $3, $4, $5);

-- name: connection_stopped
select reason from connection_stop where clinic_id = $1 and connection = $2;

-- name: stop_connection
insert into connection_stop (clinic_id, connection, reason) values ($1, $2, $3) on conflict do nothing;

-- name: resume_connection
with resumed as (delete from connection_stop where clinic_id = $1 and connection = $2 returning 1)
update job set run_at = clock_timestamp()
where clinic_id = $1 and owner is null and last_error like 'connection stopped%';
