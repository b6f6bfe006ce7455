-- Corrections of claims on file, batches under control numbers, outcomes, and values that a connection's workers share.

alter table submission
    add column patient text not null default '',          -- reference, for the audit
    add column account_number text not null default '',  -- patient account number (CLM01): what messages name a claim by
    add column frequency text not null default '1',      -- CLM05-3: 1 original, 7 replaces, 8 voids
    add column prior_id text,                            -- the submission that this one replaces or voids
    add column batch_number bigint,                      -- control number of the transmission that carried it
    add column sent_at timestamptz,                      -- first handed over: a repeat is safe only for so long after it
    add column ask_at timestamptz,                       -- when the vendor is asked next what became of it
    add column findings bytea;                           -- notes of the vendor that hold nothing up
create index submission_by_claim on submission (clinic_id, claim_id);
create index submission_by_account on submission (clinic_id, connection, account_number);
create index submission_by_batch on submission (clinic_id, connection, batch_number) where batch_number is not null;
create index submission_waiting on submission (clinic_id, connection, created_at) where state = 'batched';
create index submission_to_ask on submission (clinic_id, connection, ask_at) where ask_at is not null;

-- A submission as the pipeline sees it.
create view submission_record with (security_invoker = true) as
select clinic_id, id, encounter_id, claim_id, connection, state, content_type, payload, fields, updated_at, created_at,
       patient, account_number, frequency, prior_id, batch_number, sent_at, ask_at, evidence, vendor_ids, calls, confirmed_at
from submission;

-- Control numbers are given out in the transaction that keeps the bytes they are in: no gaps, no doubles.
create table control_number (
    clinic_id   text   not null,
    connection  text   not null,
    last_number bigint not null,
    primary key (clinic_id, connection)
);

-- What travels together, with the exact bytes, kept before it is sent.
create table batch (
    clinic_id      text        not null,
    connection     text        not null,
    control_number bigint      not null,
    state          text        not null,
    reason         text        not null default '',
    attempts       integer     not null default 0,
    content_type   text        not null,
    payload        bytea       not null,
    fields         bytea       not null,
    created_at     timestamptz not null default clock_timestamp(),
    updated_at     timestamptz not null default clock_timestamp(),
    primary key (clinic_id, connection, control_number)
);
create index batch_unsettled on batch (clinic_id, connection, control_number) where state in ('queued', 'sending', 'uncertain');

-- What vendors sent about claims, byte for byte; the same message twice is one row.
create table inbound_message (
    clinic_id   text        not null,
    connection  text        not null,
    digest      bytea       not null,
    name        text        not null,
    content     bytea       not null,
    state       text        not null,  -- applied, or unreadable
    outcomes    integer     not null default 0,
    unmatched   integer     not null default 0,
    received_at timestamptz not null default clock_timestamp(),
    primary key (clinic_id, connection, digest)
);

create table shared_value (
    clinic_id  text  not null,
    connection text  not null,
    key        text  not null,
    value      bytea not null,
    expires_at timestamptz,
    primary key (clinic_id, connection, key)
);

-- The calls of a vendor's budget in its sliding window.
create table call_budget (
    clinic_id text          not null,
    budget    text          not null,
    calls     timestamptz[] not null,
    primary key (clinic_id, budget)
);
