-- The first schema. Every key begins with the clinic, so that the clinic can become the distribution column.
-- Contents of resources, payloads and AuditEvents are the exact bytes (bytea), never jsonb: jsonb reorders members
-- and changes numbers, and what was sent or audited must be kept as it was.

create table encounter (
    clinic_id        text        not null,
    id               text        not null,
    connection       text        not null,
    ehr_encounter_id text        not null,
    state            text        not null,
    content_hash     bytea,
    generation       integer     not null default 1,
    claim_id         text,
    received_at      timestamptz not null default clock_timestamp(),
    updated_at       timestamptz not null default clock_timestamp(),
    primary key (clinic_id, id)
);

-- What was accepted with a 2xx or read from a feed; one row per change, however often it is told.
create table inbox (
    clinic_id    text        not null,
    connection   text        not null,
    dedupe_key   text        not null,
    encounter_id text        not null,
    received_at  timestamptz not null default clock_timestamp(),
    primary key (clinic_id, connection, dedupe_key)
);

create table feed_cursor (
    clinic_id  text        not null,
    connection text        not null,
    position   text        not null,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (clinic_id, connection)
);

-- The current version of each resource, and all versions beside it.
create table resource (
    clinic_id     text        not null,
    resource_type text        not null,
    id            text        not null,
    version_id    integer     not null,
    content       bytea       not null,
    content_hash  bytea       not null,
    last_updated  timestamptz not null default clock_timestamp(),
    primary key (clinic_id, resource_type, id)
);

create table resource_version (
    clinic_id     text        not null,
    resource_type text        not null,
    id            text        not null,
    version_id    integer     not null,
    content       bytea       not null,
    content_hash  bytea       not null,
    last_updated  timestamptz not null,
    primary key (clinic_id, resource_type, id, version_id)
);

-- Which resource versions a claim was built from.
create table claim_reference (
    clinic_id     text    not null,
    claim_id      text    not null,
    resource_type text    not null,
    id            text    not null,
    version_id    integer not null,
    primary key (clinic_id, claim_id, resource_type, id)
);

create table submission (
    clinic_id    text        not null,
    id           text        not null,
    encounter_id text        not null,
    claim_id     text        not null,
    connection   text        not null,
    state        text        not null,
    reason       text        not null default '',
    attempts     integer     not null default 0,
    content_type text,
    payload      bytea,
    fields       bytea,
    vendor_ids   bytea,
    evidence     text,
    calls        integer     not null default 0,
    created_at   timestamptz not null default clock_timestamp(),
    updated_at   timestamptz not null default clock_timestamp(),
    confirmed_at timestamptz,
    primary key (clinic_id, id)
);
create unique index submission_once on submission (clinic_id, connection, claim_id);
create index submission_by_encounter on submission (clinic_id, encounter_id);

create table hold (
    clinic_id     text        not null,
    id            bigint      generated always as identity,
    encounter_id  text        not null,
    submission_id text,
    step          text        not null,
    findings      bytea       not null,
    state         text        not null default 'open',
    created_at    timestamptz not null default clock_timestamp(),
    resolved_at   timestamptz,
    primary key (clinic_id, id)
);
create unique index hold_open_once on hold (clinic_id, encounter_id) where state = 'open';

create table connection_stop (
    clinic_id  text        not null,
    connection text        not null,
    reason     text        not null,
    stopped_at timestamptz not null default clock_timestamp(),
    primary key (clinic_id, connection)
);

-- The queue. `owner` is the worker's number, whose liveness is an advisory lock (77, number) of its session.
create sequence worker_number as integer cycle;

create table job (
    clinic_id    text        not null,
    id           bigint      generated always as identity,
    kind         text        not null,
    ordering_key text        not null,
    arguments    text        not null,
    trace        text        not null default '',
    priority     smallint    not null default 0,
    run_at       timestamptz not null default clock_timestamp(),
    attempts     integer     not null default 0,
    owner        integer,
    lease_until  timestamptz,
    last_error   text        not null default '',
    created_at   timestamptz not null default clock_timestamp(),
    primary key (clinic_id, id)
);
create index job_ready on job (priority, run_at) where owner is null;
create index job_owned on job (owner) where owner is not null;
create index job_order on job (clinic_id, ordering_key, id);

create table dead_letter (
    clinic_id    text        not null,
    id           bigint      not null,
    kind         text        not null,
    ordering_key text        not null,
    arguments    text        not null,
    trace        text        not null,
    attempts     integer     not null,
    reason       text        not null,
    created_at   timestamptz not null,
    died_at      timestamptz not null default clock_timestamp(),
    primary key (clinic_id, id)
);

create function notify_job() returns trigger language plpgsql as $$
begin
    perform pg_notify('gateway_job', '');
    return null;
end $$;
-- One notice per statement and, since equal notices of a transaction collapse, one per transaction.
create trigger job_arrived after insert on job for each statement execute function notify_job();

-- When each vendor operation was called last, so that all workers together keep the vendor's minimum gap.
create table rate_gap (
    clinic_id  text        not null,
    connection text        not null,
    operation  text        not null,
    last_at    timestamptz not null,
    primary key (clinic_id, connection, operation)
);

create table audit_event (
    clinic_id    text        not null,
    id           uuid        not null default gen_random_uuid(),
    recorded     timestamptz not null,
    step         text        not null,
    outcome      text        not null,
    encounter_id text,
    patient      text,
    trace        text        not null,
    content      bytea       not null,
    primary key (clinic_id, recorded, id)
);
create index audit_event_by_encounter on audit_event (clinic_id, encounter_id, recorded);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'audit_event is append-only';
end $$;
create trigger audit_event_append_only before update or delete on audit_event
    for each row execute function refuse_change();
create trigger audit_event_no_truncate before truncate on audit_event
    for each statement execute function refuse_change();
