-- Superbills: charges that come in files, and the encounters that wait for them. No key tells of a patient: ids and
-- visit keys are keyed hashes.

create table superbill (
    clinic_id    text        not null,
    connection   text        not null,  -- of the EHR
    id           text        not null,  -- keyed hash of the superbill's own number
    visit_key    text        not null,  -- keyed hash of record number, date of service and rendering NPI
    digest       bytea       not null,  -- of all that counts; equal when nothing has changed
    content      bytea,                 -- the Claim; null while every version of it has been refused
    findings     bytea,                 -- why it was refused
    ready        boolean     not null,  -- false: a draft
    encounter_id text,                  -- the encounter that it has joined
    received_at  timestamptz not null default clock_timestamp(),
    changed_at   timestamptz not null default clock_timestamp(),
    primary key (clinic_id, connection, id)
);
create index superbill_by_visit on superbill (clinic_id, connection, visit_key);

-- What was taken from which file: an old file that comes again changes nothing back, unless it is read in another way.
create table superbill_intake (
    clinic_id    text        not null,
    connection   text        not null,
    file_digest  text        not null,
    superbill_id text        not null,
    digest       bytea       not null,  -- of the superbill
    taken_at     timestamptz not null default clock_timestamp(),
    primary key (clinic_id, connection, file_digest, superbill_id, digest)
);

-- Whose visit an encounter is, as it was fetched last.
create table superbill_visit (
    clinic_id    text not null,
    connection   text not null,
    encounter_id text not null,
    visit_key    text not null,
    primary key (clinic_id, connection, encounter_id)
);
create index superbill_visit_by_key on superbill_visit (clinic_id, connection, visit_key);
