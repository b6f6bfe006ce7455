-- What the EHR has been told of a claim: the last state of which it knows.

alter table submission add column told text not null default '';
create index submission_untold on submission (clinic_id, updated_at)
    where state in ('received', 'accepted', 'adjudicated', 'rejected') and told <> state;
