-- What is known of the subscriptions by which EHRs notify the gateway, and when each feed was polled or heard last.

create table ehr_subscription (
    clinic_id         text          not null,
    connection        text          not null,
    id                text          not null,             -- the EHR's
    endpoint          text          not null default '',  -- '' for one that the gateway has heard of but did not make
    topic             text          not null default '',
    status            text          not null,
    counts            boolean       not null default false,
    heartbeat_seconds float8,
    began_at          timestamptz   not null,             -- its present life: since it was made or renewed
    ends_at           timestamptz,
    last_number       bigint,                             -- the highest event number heard of
    missing           int8multirange not null default '{}',
    gap_since         timestamptz,
    heard_at          timestamptz,                        -- any notification
    asked_at          timestamptz,                        -- null: subscribe anew, whatever is known
    doubted           boolean       not null default false,
    created_at        timestamptz   not null default clock_timestamp(),
    primary key (clinic_id, connection, id)
);

alter table feed_cursor
    alter column position drop not null,
    add column polled_at timestamptz,                     -- the last poll that came to its end
    add column poll_asked boolean not null default false, -- a notification has asked for a poll since the last one began
    add column heard_at timestamptz;                      -- the last notification, to the second
