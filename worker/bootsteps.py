"""What a worker's main process does beside Celery's own: sweep, show life, reconcile at start."""

from __future__ import annotations

from typing import Any

from celery.bootsteps import StartStopStep, Step

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.producer.publish import Publisher
from uploadmill.worker.backlog import backlog_of
from uploadmill.worker.reconciling import Reconciling
from uploadmill.worker.shared import EVENTS
from uploadmill.worker.sweeper import Sweeper
from uploadmill.worker.wiring import UploadmillApp

#: Seconds that the main process' threads wait for one answer of Redis.
THREAD_TIMEOUT = 1.0


class EventsFlag(Step):
    """Let the children know, before they are forked, whether events were asked for."""

    def __init__(self, worker: Any, **_: Any) -> None:
        EVENTS.set(bool(worker.task_events))


class SweeperStep(StartStopStep):
    """Runs the sweeper as long as the worker takes jobs."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Start sweeping, after the pool has been forked."""
        settings = worker.app.settings
        self.publisher = Publisher(settings.broker_url)
        self.sweeper = Sweeper(
            Ledger(settings.redis_url, settings.ledger, timeout=THREAD_TIMEOUT),
            backlog_of(settings.broker_url),
            self.publisher.publish,
            settings.worker.sweep,
        )
        self.sweeper.start()

    def stop(self, worker: Any) -> None:
        """Stop sweeping; called on a warm shutdown."""
        self.sweeper.stop()

    def terminate(self, worker: Any) -> None:
        """Stop on a cold shutdown: Celery then calls this instead of ``stop``."""
        self.stop(worker)


class CrashStep(StartStopStep):
    """Reports children that die, also while the worker drains: it is never stopped."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Start the reporter, after the pool has been forked."""
        # With it comes half of Celery's worker, which a producer's command line does without.
        from uploadmill.worker.crashes import CrashReporter  # noqa: PLC0415

        settings = worker.app.settings
        ledger = Ledger(settings.redis_url, settings.ledger, timeout=THREAD_TIMEOUT)
        CrashReporter(ledger, worker.app.crashes).start()


class LivenessStep(StartStopStep):
    """Touches a file once a second from the event loop: an old file is a loop that stands."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        """Begin touching, where a file is configured."""
        path = worker.app.settings.worker.liveness_file
        self.timer = worker.timer.call_repeatedly(1.0, path.touch) if path else None

    def stop(self, worker: Any) -> None:
        """Touch no more."""
        if self.timer is not None:
            self.timer.cancel()

    def terminate(self, worker: Any) -> None:
        """The same on a cold shutdown."""
        self.stop(worker)


class ReconcileStep(StartStopStep):
    """Reconciles at start, and while the worker takes jobs whenever that is due."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Start the first one at once."""
        settings = worker.app.settings
        ledger = Ledger(settings.redis_url, settings.ledger, timeout=THREAD_TIMEOUT)
        self.reconciling = Reconciling(ledger)
        self.reconciling.start()

    def stop(self, worker: Any) -> None:
        """End the one that may be running; the next start begins again."""
        self.reconciling.stop()

    def terminate(self, worker: Any) -> None:
        """The same on a cold shutdown."""
        self.stop(worker)


def install(app: UploadmillApp) -> None:
    """Add the steps to the worker's blueprint."""
    app.steps["worker"].update((EventsFlag, SweeperStep, CrashStep, LivenessStep, ReconcileStep))
