"""What happens to whole nodes: wrong clocks, full disks, loss for good."""

from __future__ import annotations

from chaos import clock, disk
from chaos.crew import WORKSPACE, Member
from chaos.ground import Ground
from chaos.scenario import Scenario


def shift_clock(ground: Ground) -> None:
    """One worker's clock is an hour ahead, one's an hour behind."""
    for seconds in (3600, -3600):
        environ, faults = clock.shifted(seconds)
        ground.hire(1, environ=environ, faults=faults)
        ground.book.fault("clock", str(seconds))
    with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=0.02):
        for _ in range(2 if ground.short else 20):
            ground.pause(1.5 if ground.short else 5)
            ground.kill_group(ground.random.choice(ground.crew))


CLOCK = Scenario("clock_off", shift_clock, jobs=(600, 80))


def fill_disk(ground: Ground) -> None:
    """The workspace's disk is full, again and again."""
    folder = ground.folder / "small"
    with disk.small_disk(folder) as mounted:
        faults = {} if mounted else {"ballast": str(folder / "ballast")}
        ground.hire(2, environ={WORKSPACE: str(folder)}, faults=faults)
        with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=0.03):
            for _ in range(3 if ground.short else 20):
                ground.pause(0.7)
                ground.book.fault("disk_full" if mounted else "disk_full_simulated")
                disk.fill(folder) if mounted else (folder / "ballast").touch()
                ground.pause(1.5)
                disk.free(folder)
        # The disk goes with this block: the jobs on it start over elsewhere.
        ground.stop_warm(ground.crew)
        for member in ground.crew:
            member.environ = {}


DISK_FULL = Scenario("disk_full", fill_disk, jobs=(600, 80))


def lose_node(ground: Ground) -> None:
    """Two nodes share the load; one of them is gone for good, with its workspaces."""
    a, b = (ground.folder / f"node-{name}" for name in "ab")
    ground.hire(1, environ={WORKSPACE: str(a)})
    doomed = ground.hire(2, environ={WORKSPACE: str(b)})
    with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=0.01):
        ground.pause(1.5)
        _lose(ground, doomed)
        b.rename(b.with_name("gone"))
        ground.pause(1)


def _lose(ground: Ground, doomed: list[Member]) -> None:
    for member in doomed:
        member.replaced = False
        ground.kill_group(member)
        member.worker.wait()


NODE_LOST = Scenario("node_lost", lose_node, jobs=(600, 80))
