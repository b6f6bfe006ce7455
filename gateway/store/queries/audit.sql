-- AuditEvents.

-- name: append
insert into audit_event (clinic_id, recorded, step, outcome, encounter_id, patient, trace, content)
select $1, recorded, step, outcome, encounter_id, patient, trace, content
from unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[])
    as t(recorded, step, outcome, encounter_id, patient, trace, content);
