"""What a worker's main process does beside Celery's own, each as a step of its blueprint."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from celery.bootsteps import StartStopStep, Step

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.errors import InvalidSettings
from uploadmill.producer.publish import Publisher
from uploadmill.worker.agreement import Agreement
from uploadmill.worker.backlog import backlog_of
from uploadmill.worker.canary import Canary
from uploadmill.worker.chores import Chore, Chores
from uploadmill.worker.clearing import Clearing
from uploadmill.worker.healing import Healing
from uploadmill.worker.reconciling import Reconciling
from uploadmill.worker.roster import SAY, Roster
from uploadmill.worker.shared import EVENTS
from uploadmill.worker.shutdown import leave
from uploadmill.worker.sweeper import Sweeper
from uploadmill.worker.timers import forget_cancelled
from uploadmill.worker.wiring import UploadmillApp
from uploadmill.worker.workspace import Workspaces

#: Seconds between two times that a node's workspaces are cleared, at least; else a lease.
CLEAR = 5.0

#: Seconds between two times that the timers of jobs that are done are forgotten.
FORGET = 10.0

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
        self.publisher.close()

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


class SettingsStep(Step):
    """Refuses to start with settings with which jobs could only fail."""

    def __init__(self, worker: Any, **_: Any) -> None:
        # With it come the decoders, which a producer's command line does not have.
        from uploadmill.worker.usable import insist_usable  # noqa: PLC0415

        try:
            insist_usable(worker.app.settings)
        except InvalidSettings as error:
            sys.exit(f"Error: {error}")


class AgreementStep(Step):
    """Refuses to work beside workers that have set otherwise what all must have set alike."""

    requires = (SettingsStep,)

    def __init__(self, worker: Any, **_: Any) -> None:
        settings = worker.app.settings
        ledger = Ledger(settings.redis_url, settings.ledger, timeout=THREAD_TIMEOUT)
        worker.agreement = Agreement(Roster(ledger, settings), partial(leave, worker.hostname))
        try:
            worker.agreement.begin()
        except InvalidSettings as error:
            sys.exit(f"Error: {error}")


class ChoresStep(StartStopStep):
    """Says that this node is there, and clears its workspaces, now and then."""

    requires = ("celery.worker.components:Pool", AgreementStep)

    def start(self, worker: Any) -> None:
        """Start the thread."""
        settings = worker.app.settings
        self.ledger = Ledger(settings.redis_url, settings.ledger, timeout=THREAD_TIMEOUT)
        roster, workspaces = Roster(self.ledger, settings), Workspaces(settings.worker.workspace)
        clearing = Clearing(self.ledger, workspaces, settings.worker.workspace_budget)
        self.chores = Chores(
            [
                Chore(SAY, lambda: roster.say(workspaces.node)),
                Chore(SAY, worker.agreement.keep),
                Chore(max(CLEAR, settings.ledger.lease), clearing.clear),
            ]
        )
        self.chores.start()

    def stop(self, worker: Any) -> None:
        """End the thread."""
        self.chores.stop()
        self.ledger.close()

    def terminate(self, worker: Any) -> None:
        """The same on a cold shutdown."""
        self.stop(worker)


class LivenessStep(StartStopStep):
    """Touches a file once a second from the event loop: an old file is a loop that stands."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        """Begin touching, where a file is configured: at once, and then by the event loop."""
        path = worker.app.settings.worker.liveness_file
        self.timer = worker.timer.call_repeatedly(1.0, path.touch) if path else None
        if path:
            path.touch()

    def stop(self, worker: Any) -> None:
        """Touch no more."""
        if self.timer is not None:
            self.timer.cancel()

    def terminate(self, worker: Any) -> None:
        """The same on a cold shutdown."""
        self.stop(worker)


class TimersStep(StartStopStep):
    """Forgets, now and then, the time limits of jobs that are done."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        """Begin."""
        self.timer = worker.timer.call_repeatedly(FORGET, lambda: forget_cancelled(worker.timer))

    def stop(self, worker: Any) -> None:
        """End; what is left goes with the process."""
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


class HealStep(StartStopStep):
    """Brings home what failed over, while the worker takes jobs."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Start looking for it."""
        settings = worker.app.settings
        ledger = Ledger(settings.redis_url, settings.ledger, timeout=THREAD_TIMEOUT)
        self.healing = Healing(ledger, settings.heal.every)
        self.healing.start()

    def stop(self, worker: Any) -> None:
        """End the one that may be running; another goes on where it was."""
        self.healing.stop()

    def terminate(self, worker: Any) -> None:
        """The same on a cold shutdown."""
        self.stop(worker)


class CanaryStep(StartStopStep):
    """Keeps the secondary exercised, while the worker takes jobs."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Start sending canaries."""
        settings = worker.app.settings
        ledger = Ledger(settings.redis_url, settings.ledger, timeout=THREAD_TIMEOUT)
        self.canary = Canary(ledger, settings.worker.canary)
        self.canary.start()

    def stop(self, worker: Any) -> None:
        """End the one that may be on its way."""
        self.canary.stop()

    def terminate(self, worker: Any) -> None:
        """The same on a cold shutdown."""
        self.stop(worker)


STEPS = (
    SettingsStep,
    AgreementStep,
    EventsFlag,
    SweeperStep,
    CrashStep,
    ReconcileStep,
    HealStep,
    CanaryStep,
    ChoresStep,
    LivenessStep,
    TimersStep,
)


def install(app: UploadmillApp) -> None:
    """Add the steps to the worker's blueprint."""
    app.steps["worker"].update(STEPS)
