-- Superbills and the visits that wait for them. Whoever reads or changes a visit holds the lock of its key.

-- name: intake
-- Which of the superbills ($4, $5) have not been taken from this file ($3) before.
insert into superbill_intake (clinic_id, connection, file_digest, superbill_id, digest)
select $1, $2, $3, id, digest from unnest($4::text[], $5::bytea[]) as t(id, digest)
on conflict do nothing
returning superbill_id;

-- name: known
select id, visit_key, digest, content is not null as good from superbill
where clinic_id = $1 and connection = $2 and id = any($3::text[])
for update;

-- name: keep
-- $3 to $8 are parallel arrays. Another patient, date or provider is another visit: the encounter loses it.
insert into superbill as s (clinic_id, connection, id, visit_key, digest, content, findings, ready)
select $1, $2, id, visit_key, digest, content, findings, ready
from unnest($3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[], $8::boolean[])
    as t(id, visit_key, digest, content, findings, ready)
on conflict (clinic_id, connection, id) do update
set visit_key = excluded.visit_key, digest = excluded.digest, content = excluded.content,
    findings = excluded.findings, ready = excluded.ready, changed_at = clock_timestamp(),
    encounter_id = case when s.visit_key = excluded.visit_key then s.encounter_id end;

-- name: waiting
select v.encounter_id, e.ehr_encounter_id, v.visit_key
from superbill_visit v
join encounter e on e.clinic_id = v.clinic_id and e.id = v.encounter_id
where v.clinic_id = $1 and v.connection = $2 and v.visit_key = any($3::text[])
order by v.encounter_id;

-- name: join_visit
insert into superbill_visit (clinic_id, connection, encounter_id, visit_key) values ($1, $2, $3, $4)
on conflict (clinic_id, connection, encounter_id) do update set visit_key = excluded.visit_key;

-- name: leave
-- A superbill of a visit that the encounter ($3) no longer is.
update superbill set encounter_id = null
where clinic_id = $1 and connection = $2 and encounter_id = $3 and visit_key <> $4;

-- name: of_visit
-- One that a withdrawn encounter had joined is free again.
select s.id, s.ready, s.content, s.findings, case when e.state <> 'withdrawn' then s.encounter_id end as encounter_id
from superbill s
left join encounter e on e.clinic_id = s.clinic_id and e.id = s.encounter_id
where s.clinic_id = $1 and s.connection = $2 and s.visit_key = $3
order by s.received_at, s.id;

-- name: rivals
select count(*)::integer
from superbill_visit v
join encounter e on e.clinic_id = v.clinic_id and e.id = v.encounter_id
where v.clinic_id = $1 and v.connection = $2 and v.visit_key = $3 and v.encounter_id <> $4 and e.state <> 'withdrawn';

-- name: assign
update superbill set encounter_id = $4 where clinic_id = $1 and connection = $2 and id = $3;
