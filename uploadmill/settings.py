"""The configuration: one frozen object, table by table.

It is read in one place (:meth:`Settings.load`); everything else takes arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator

from uploadmill.errors import InvalidSettings, UnknownPipeline
from uploadmill.job import DEADLINE, Name
from uploadmill.pipeline import SHIPPED, Step
from uploadmill.server_urls import broker_address, ledger_address, scanner_address
from uploadmill.settings_sources import explained, given
from uploadmill.settings_stores import OutputStoreSettings, StoreSettings, Table

DAY = 86_400.0

#: What certificates call signatures of which clamd tells neither number nor date.
LOCAL_SIGNATURES = "local signatures only"


class ScannerSettings(Table):
    """The virus scanner."""

    address: Annotated[str, AfterValidator(scanner_address)] = Field(
        default="unix:///run/clamav/clamd.ctl",
        description="clamd: unix:///path, or tcp://host:port",
    )
    timeout: float = Field(default=60.0, gt=0, description="seconds clamd may stay silent")
    required: bool = Field(
        default=True,
        description="False runs every pipeline without its scan step; results say so",
    )
    local_signatures: str = Field(
        default=LOCAL_SIGNATURES,
        min_length=1,
        description="what certificates call signatures other than ClamAV's own",
    )


#: Which times of the ledger must be below another one.
BELOW = {
    "stage_grace": ("stage_fresh",),
    "workspace_max": ("deadline",),
    "tombstone_keep": ("workspace_max", "result_ttl", "keep_failed", "keep_rejected"),
}


class LedgerSettings(Table):
    """The job protocol's constants, all in seconds but the counts (docs/design.md)."""

    lease: float = Field(default=30.0, gt=0, description="how long a worker may be silent")
    crash_max: int = Field(default=3, ge=1, description="runs of a step that may kill their child")
    lost_max: int = Field(default=6, ge=1, description="runs of a step that may lose their lease")
    attempts_max: int = Field(default=8, ge=1, description="runs of a step that may fail")
    publish_grace: float = Field(
        default=10.0, ge=0, description="for a message to arrive before the sweeper sends one"
    )
    deadline: float = Field(default=DEADLINE, gt=0, description="after acceptance; then failed")
    stage_fresh: float = Field(
        default=DAY / 2, gt=0, description="age up to which staged bytes may be enqueued"
    )
    stage_grace: float = Field(
        default=DAY, gt=0, description="age from which staged bytes of no job may be collected"
    )
    keep_failed: float = Field(default=7 * DAY, ge=0, description="staged bytes of failed jobs")
    keep_rejected: float = Field(
        default=DAY, ge=0, description="staged bytes of rejected and cancelled jobs"
    )
    result_ttl: float = Field(default=7 * DAY, gt=0, description="results in Redis")
    heal_grace: float = Field(
        default=DAY, ge=0, description="a healed job's copy stays in the secondary"
    )
    workspace_max: float = Field(default=2 * DAY, gt=0, description="oldest workspace")
    tombstone_keep: float = Field(default=30 * DAY, gt=0, description="outcomes in staging")
    wait_local_fsync: bool = Field(
        default=False,
        description="accept a job only once Redis has it on its disk (appendonly yes); up to 1 s",
    )
    wait_replicas: int = Field(
        default=0, ge=0, description="accept a job only once so many replicas have it"
    )
    retry_delay: float = Field(
        default=5.0, gt=0, description="before a job goes on after an error; grows with its age"
    )
    retry_delay_max: float = Field(default=300.0, gt=0, description="longest such delay")
    reconcile: float = Field(
        default=600.0, gt=0, description="between two looks whether the ledger forgot a job"
    )

    @property
    def renew(self) -> float:
        """Seconds between two renewals of a lease: a third of it."""
        return self.lease / 3

    @field_validator("stage_grace", "workspace_max", "tombstone_keep")
    @classmethod
    def _in_order(cls, value: float, others: ValidationInfo) -> float:
        """The order that the protocol's safety rests on."""
        high = str(others.field_name)
        broken = [
            f"{low} ({others.data[low]:g} s) must be below {high} ({value:g} s)"
            for low in BELOW[high]
            if others.data.get(low, 0) >= value
        ]
        if broken:
            raise ValueError("; ".join(broken))
        return value


class HealSettings(Table):
    """How what failed over is brought back to the primary, beside everybody's work."""

    # A job costs the stores about a dozen requests; S3 takes thousands a second for each prefix.
    jobs_per_second: float = Field(
        default=20.0, gt=0, description="jobs looked at, so that a store just back is not flooded"
    )
    # A fifth of a 1 Gbit/s link, which uploads need as well.
    bytes_per_second: float = Field(
        default=25_000_000.0, ge=1_000_000, description="bytes read from a store"
    )
    every: float = Field(
        default=30.0,
        gt=0,
        description="seconds between two looks whether there is anything to heal",
    )


class BreakerSettings(Table):
    """When a store is not asked any more, and when again; the same for all processes."""

    failures: int = Field(
        default=5,
        ge=1,
        description="calls in a row that a store fails before nobody asks it; one commit makes 3",
    )
    window: float = Field(
        default=30.0, gt=0, description="seconds after the first of them in which they count"
    )
    open: float = Field(
        default=10.0, gt=0, description="seconds until one caller finds out whether it is back"
    )
    probe: float = Field(
        default=30.0, gt=0, description="seconds after which that caller counts as dead"
    )


class WorkerSettings(Table):
    """How a worker process behaves."""

    workspace: Path = Field(default=Path("/var/tmp/uploadmill"), description="of this node")  # noqa: S108
    sweep: float = Field(default=1.0, gt=0, description="seconds between two looks at due jobs")
    drain: float = Field(
        default=60.0, gt=0, description="seconds a stopping worker may finish its steps"
    )
    visibility_timeout: float = Field(default=3600.0, gt=0, description="seconds, of the broker")
    liveness_file: Path | None = Field(default=None, description="touched once a second")
    canary: float = Field(
        default=300.0,
        gt=0,
        description="seconds between two small objects put into the secondary to see that it works",
    )
    workspace_budget: int = Field(
        default=20_000_000_000, ge=0, description="bytes that waiting jobs may keep on this node"
    )


class PipelineSettings(Table):
    """A pipeline of your own: its steps in their order."""

    steps: tuple[Step, ...] = Field(min_length=1)


class Settings(Table):
    """Everything that can be configured, frozen."""

    redis_url: Annotated[str, AfterValidator(ledger_address)] = Field(
        default="redis://127.0.0.1:6379/0", description="the ledger"
    )
    broker_url: str = Field(
        default="", description="Celery's broker, Redis or RabbitMQ; empty: the ledger's Redis"
    )
    accept_volatile_redis: bool = Field(
        default=False, description="accept a ledger that evicts keys or does not persist"
    )
    staging: StoreSettings = StoreSettings(url="file:///var/tmp/uploadmill/staging")
    primary: OutputStoreSettings = OutputStoreSettings(url="file:///var/tmp/uploadmill/primary")
    secondary: OutputStoreSettings = OutputStoreSettings(url="file:///var/tmp/uploadmill/secondary")
    quarantine: StoreSettings = StoreSettings(url="file:///var/tmp/uploadmill/quarantine")
    prefix: str = Field(default="", description="what the keys of all outputs start with")
    max_size: int = Field(default=5_000_000_000, gt=0, description="bytes a producer stages")
    scanner: ScannerSettings = ScannerSettings()
    ledger: LedgerSettings = LedgerSettings()
    heal: HealSettings = HealSettings()
    breaker: BreakerSettings = BreakerSettings()
    worker: WorkerSettings = WorkerSettings()
    pipelines: dict[Name, PipelineSettings] = Field(
        default_factory=dict, description="your own, beside the shipped ones (see above)"
    )

    @field_validator("broker_url")
    @classmethod
    def _broker_is_redis(cls, url: str, others: ValidationInfo) -> str:
        """One Redis serves as broker and ledger unless a broker is named."""
        named = url or others.data.get("redis_url")
        return broker_address(named) if named else url

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read file and environment.

        Raises:
            InvalidSettings: With every mistake in one message.
        """
        problems: list[str] = []
        raw = given(cls, environ, problems)
        try:
            settings = cls.model_validate(raw)
        except ValidationError as error:
            problems += [explained(cls, item) for item in error.errors()]
        if problems:
            found = tuple(dict.fromkeys(problems))
            raise InvalidSettings(f"the settings have {len(found)} mistake(s)", found)
        return settings

    @property
    def pipeline_names(self) -> tuple[str, ...]:
        """The names that a job may ask for."""
        return tuple(sorted({*SHIPPED, *self.pipelines}))

    def steps_of(self, pipeline: str) -> tuple[Step, ...]:
        """The steps of a pipeline as configured, before its plan is spelled out.

        Raises:
            UnknownPipeline: With the names there are.
        """
        if pipeline in self.pipelines:
            return self.pipelines[pipeline].steps
        if pipeline in SHIPPED:
            return tuple(options.to_step() for options in SHIPPED[pipeline])
        raise UnknownPipeline(pipeline, self.pipeline_names)
