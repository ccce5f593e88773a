"""The names of the ledger's keys in Redis; docs/design.md says what is in each."""

from __future__ import annotations

from uploadmill.wire import LEDGER_PREFIX

OPEN = LEDGER_PREFIX + "open"
HEAL = LEDGER_PREFIX + "heal"
#: Jobs whose outputs are on the secondary alone, by when they ended; the others in ``HEAL`` have
#: been copied and wait until the copy may go.
STRANDED = LEDGER_PREFIX + "stranded"
ENDED = LEDGER_PREFIX + "ended"
FAILED = LEDGER_PREFIX + "failed"
JOB = LEDGER_PREFIX + "job:"
AGREED = LEDGER_PREFIX + "agreed:"

#: Counters, and the open jobs by when they were accepted, until when somebody works on them, and
#: until when they wait. No transition decides by them: they tell people how things stand.
STATS = LEDGER_PREFIX + "stats"
SINCE = LEDGER_PREFIX + "since"
RUNNING = LEDGER_PREFIX + "running"
WAITING = LEDGER_PREFIX + "waiting"
COUNTED = (STATS, SINCE, RUNNING, WAITING)
