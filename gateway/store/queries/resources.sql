-- Resources and their versions.

-- name: save
-- Store those resources whose content changed as new versions. Ordered, so that two transactions cannot deadlock;
-- unchanged ones (practitioners, payers) are not even locked.
with incoming as (
    select i.* from unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[]) as i(resource_type, id, content, content_hash)
    left join resource r on r.clinic_id = $1 and r.resource_type = i.resource_type and r.id = i.id
    where r.content_hash is distinct from i.content_hash
    order by i.resource_type, i.id),
saved as (
    insert into resource as r (clinic_id, resource_type, id, version_id, content, content_hash)
    select $1, resource_type, id, 1, content, content_hash from incoming
    on conflict (clinic_id, resource_type, id) do update
    set version_id = r.version_id + 1, content = excluded.content, content_hash = excluded.content_hash,
        last_updated = clock_timestamp()
    returning clinic_id, resource_type, id, version_id, content, content_hash, last_updated)
insert into resource_version (clinic_id, resource_type, id, version_id, content, content_hash, last_updated)
select clinic_id, resource_type, id, version_id, content, content_hash, last_updated from saved;

-- name: refer
-- Note which versions a claim was built from.
with current as (
    select r.resource_type, r.id, r.version_id
    from unnest($3::text[], $4::text[]) as t(resource_type, id)
    join resource r on r.clinic_id = $1 and r.resource_type = t.resource_type and r.id = t.id)
insert into claim_reference (clinic_id, claim_id, resource_type, id, version_id)
select $1, $2, resource_type, id, version_id from current
on conflict (clinic_id, claim_id, resource_type, id) do update set version_id = excluded.version_id
where claim_reference.version_id <> excluded.version_id;

-- name: claim_bundle
select v.content
from claim_reference c
join resource_version v
  on v.clinic_id = c.clinic_id and v.resource_type = c.resource_type and v.id = c.id and v.version_id = c.version_id
where c.clinic_id = $1 and c.claim_id = $2;

-- name: resource
select content from resource where clinic_id = $1 and resource_type = $2 and id = $3;
