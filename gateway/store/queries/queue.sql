-- The durable queue.

-- name: put
insert into job (clinic_id, kind, ordering_key, arguments, trace, priority) values ($1, $2, $3, $4, $5, $6);

-- name: put_once
-- A recurring job, unless its key already has one.
insert into job (clinic_id, kind, ordering_key, arguments, trace, priority)
select $1, $2, $3, $4, $5, $6
where not exists (select 1 from job where clinic_id = $1 and ordering_key = $3);

-- name: run_soon
update job set run_at = clock_timestamp() where clinic_id = $1 and ordering_key = $2 and owner is null;

-- name: claim
-- Take up to $2 ready jobs, up to $5 of them of low priority ($6 and above), which only fill what others leave free.
-- A job waits while an older one of its key is still there, so each encounter keeps its order.
with urgent as (
    select j.clinic_id, j.id
    from job j
    where j.owner is null
      and j.run_at <= clock_timestamp()
      and j.priority < $6
      and j.id <> all($4::bigint[])
      and not exists (
          select 1 from job older
          where older.clinic_id = j.clinic_id and older.ordering_key = j.ordering_key and older.id < j.id)
    order by j.priority, j.run_at
    limit $2
    for update of j skip locked),
patient as (
    select j.clinic_id, j.id
    from job j
    where j.owner is null
      and j.run_at <= clock_timestamp()
      and j.priority >= $6
      and j.id <> all($4::bigint[])
      and not exists (
          select 1 from job older
          where older.clinic_id = j.clinic_id and older.ordering_key = j.ordering_key and older.id < j.id)
    order by j.priority, j.run_at
    limit greatest(0, least($5, $2 - (select count(*) from urgent)))
    for update of j skip locked),
ready as (select * from urgent union all select * from patient)
update job
set owner = $1, lease_until = clock_timestamp() + make_interval(secs => $3)
from ready
where job.clinic_id = ready.clinic_id and job.id = ready.id
returning job.clinic_id, job.id, job.kind, job.ordering_key, job.arguments, job.trace, job.attempts,
    job.created_at, job.owner, job.priority, job.last_error, job.failing_since;

-- name: finish
delete from job where clinic_id = $1 and id = $2 and owner = $3 returning id;

-- name: become
-- The next step takes the finished step's row, and with it the owner and the place in the key's order.
update job
set kind = $4, arguments = $5, attempts = 0, last_error = '', failing_since = null,
    lease_until = clock_timestamp() + make_interval(secs => $6)
where clinic_id = $1 and id = $2 and owner = $3
returning clinic_id, id, kind, ordering_key, arguments, trace, attempts, created_at, owner, priority;

-- name: keep
update job set lease_until = clock_timestamp() + make_interval(secs => $4)
where clinic_id = $1 and id = $2 and owner = $3 returning id;

-- name: postpone
-- Whatever the vendor answers ends a row of failures, but for a claim that may have been lost on the way ('uncertain').
update job
set owner = null, lease_until = null, run_at = clock_timestamp() + $4::interval, last_error = $5, attempts = attempts + $6,
    failing_since = case when $6 > 0 or $5 like 'uncertain:%' then coalesce(failing_since, clock_timestamp()) end
where clinic_id = $1 and id = $2 and owner = $3
returning id;

-- name: has_follower
select exists (select 1 from job where clinic_id = $1 and ordering_key = $2 and id > $3 and kind = $4);

-- name: dead_letter
with gone as (
    delete from job where clinic_id = $1 and id = $2 and owner = $3
    returning clinic_id, id, kind, ordering_key, arguments, trace, attempts, created_at)
insert into dead_letter (clinic_id, id, kind, ordering_key, arguments, trace, attempts, reason, created_at)
select clinic_id, id, kind, ordering_key, arguments, trace, attempts, $4, created_at from gone
returning id;

-- name: next_worker
select nextval('worker_number')::integer;

-- name: announce
-- Alive as long as this session holds its lock.
select pg_try_advisory_lock(77, $1);

-- name: renew
-- Renew what this worker is really working on, and give back what it owns without working on it.
update job
set lease_until = case when id = any($2::bigint[]) then clock_timestamp() + make_interval(secs => $3) end,
    owner = case when id = any($2::bigint[]) then owner end
where owner = $1;

-- name: try_lock
select pg_try_advisory_lock(hashtextextended($1, 78));

-- name: unlock
select pg_advisory_unlock(hashtextextended($1, 78));

-- name: reap
-- Jobs of workers whose session is gone, or whose lease ran out (a partitioned host keeps its session for long).
-- All workers reap at once: rows that another one has in hand are passed over, so that they cannot deadlock.
with gone as (
    select j.clinic_id, j.id
    from job j
    where j.owner is not null
      and (j.lease_until < clock_timestamp()
           or not exists (
               select 1 from pg_locks l
               where l.locktype = 'advisory' and l.classid = 77 and l.objsubid = 2 and l.granted
                 and l.objid = j.owner::oid
                 and l.database = (select oid from pg_database where datname = current_database())))
    for update of j skip locked)
update job
set owner = null, lease_until = null
from gone
where job.clinic_id = gone.clinic_id and job.id = gone.id
returning job.id;

-- name: take_turn
-- Take an operation's turn if its gap of $4 seconds has passed; returns 0, or the seconds until it will have.
with taken as (
    insert into rate_gap as g (clinic_id, connection, operation, last_at)
    values ($1, $2, $3, clock_timestamp())
    on conflict (clinic_id, connection, operation)
    do update set last_at = clock_timestamp()
    where g.last_at + make_interval(secs => $4) <= clock_timestamp() or g.last_at > clock_timestamp()
    returning 1)
select case
    when exists (select 1 from taken) then 0
    else coalesce(
        (select greatest(0.001, extract(epoch from g.last_at - clock_timestamp()) + $4) from rate_gap g
         where g.clinic_id = $1 and g.connection = $2 and g.operation = $3),
        $4)  -- the row is so new that this statement cannot see it: somebody took the first turn just now
end::float8;

-- name: open_budget
insert into call_budget (clinic_id, budget, calls) values ($1, $2, '{}') on conflict do nothing;

-- name: spend
-- Note a call if fewer than $3 were made in the last $4 seconds; returns 0, or the seconds until one may be.
with kept as (
    select array(
        select called_at from unnest(calls) as called_at
        where called_at > clock_timestamp() - make_interval(secs => $4) and called_at <= clock_timestamp()
        order by called_at) as recent
    from call_budget where clinic_id = $1 and budget = $2
    for update)
update call_budget
set calls = case when cardinality(recent) < $3 then recent || clock_timestamp() else recent end
from kept
where clinic_id = $1 and budget = $2
returning case
    when cardinality(recent) < $3 then 0
    else greatest(0.001, extract(epoch from recent[cardinality(recent) - $3 + 1] - clock_timestamp()) + $4)
end::float8;

-- name: shared_value
select value from shared_value
where clinic_id = $1 and connection = $2 and key = $3 and (expires_at is null or expires_at > clock_timestamp());

-- name: put_shared_value
insert into shared_value (clinic_id, connection, key, value, expires_at)
values ($1, $2, $3, $4, clock_timestamp() + $5::interval)
on conflict (clinic_id, connection, key) do update set value = excluded.value, expires_at = excluded.expires_at;

-- name: drop_shared_value
delete from shared_value where clinic_id = $1 and connection = $2 and key = $3;
