-- Encounters from before the clinic's go-live date that a person lets pass: they were not billed elsewhere.

alter table encounter add column send_before_go_live boolean not null default false;
