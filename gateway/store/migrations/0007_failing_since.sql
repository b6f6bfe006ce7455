-- Since when a job fails without a break: an encounter that was watched for days is not given up at its first failure.

alter table job add column failing_since timestamptz;
