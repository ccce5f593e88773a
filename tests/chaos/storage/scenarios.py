"""What is done to the primary while jobs are committed to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services import s3_proxy as faults

from chaos.corpus import Corpus, Upload
from chaos.storage import breaking
from chaos.storage.breaking import Break, answering
from uploadmill.job import JobState

#: Bytes of a text that goes to S3 by parts, which only large ones do.
LARGE = 6 << 20


@dataclass(frozen=True)
class Scenario:
    """One way to break the primary.

    Attributes:
        breaks: Does it, and mends it.
        direct: Whether workers talk to the server itself, not to the proxy before it.
        jobs: In the long form, and in the short one.
        large: Whether uploads are so large that they go by parts.
        lasting: Whether no write succeeds, so that jobs must fail over.
        emptied: Whether the primary loses what it has, so that nothing is stored before.
        settings: Of the worker: ``UPLOADMILL_…`` variables.
        heals: Whether everything is to be brought home.
    """

    breaks: Break
    direct: bool = False
    jobs: tuple[int, int] = (200, 4)
    large: bool = False
    lasting: bool = True
    emptied: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    heals: bool = True

    def uploads(self, corpus: Corpus, count: int) -> list[Upload]:
        if self.large:
            return [_large(corpus) for _ in range(count)]
        # Every other one has several outputs, which fail over together.
        return [corpus.picture() if n % 2 else corpus.text() for n in range(count)]


SCENARIOS = {
    "connection_refused": Scenario(breaking.refused),
    "black_hole": Scenario(answering(faults.swallow)),
    "reset_in_mid_body": Scenario(answering(faults.cut_body)),
    "slow_down": Scenario(answering(faults.slow_down), lasting=False),
    "forbidden": Scenario(answering(faults.forbid)),
    "missing_bucket": Scenario(answering(faults.lose_bucket)),
    "error_inside_200": Scenario(answering(faults.fail_inside_200), jobs=(200, 3), large=True),
    "reply_lost": Scenario(answering(faults.lose_reply)),
    "server_frozen": Scenario(breaking.frozen, direct=True),
    "server_killed": Scenario(breaking.killed, direct=True),
    "server_read_only": Scenario(breaking.read_only, direct=True),
    "server_denies_key": Scenario(breaking.key_denied, direct=True),
    "bucket_deleted": Scenario(breaking.bucket_deleted, direct=True, emptied=True),
}

#: Must find something: nothing is taken away from the secondary within a day.
CONTROLS = {
    "heal_off": Scenario(
        breaking.read_only,
        direct=True,
        settings={"UPLOADMILL_LEDGER__HEAL_GRACE": "86400"},
        heals=False,
    )
}


def _large(corpus: Corpus) -> Upload:
    line = corpus.text().content
    return Upload(line * (LARGE // len(line) + 1), "note", frozenset({JobState.STORED}))
