"""The job protocol: records in Redis, envelopes and outcomes in the staging store."""
