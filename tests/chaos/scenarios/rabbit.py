"""RabbitMQ as the broker: killed, restarted, frozen, out of memory."""

from __future__ import annotations

from chaos.ground import Ground
from chaos.scenario import Scenario


def break_rabbitmq(ground: Ground) -> None:
    """One fault after the other while jobs come in."""
    broker = ground.rabbitmq
    if broker is None:
        raise LookupError("this scenario is played on RabbitMQ")
    ground.hire_few()
    with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=0.2):
        for _ in range(1 if ground.short else 3):
            ground.pause(1)
            ground.book.fault("kill_rabbitmq")
            broker.kill()
            ground.pause(1)
            broker.start()
            ground.pause(2)
            ground.book.fault("memory_alarm")
            with broker.memory_alarm():
                ground.pause(2 if ground.short else 20)
            ground.book.fault("freeze_rabbitmq")
            with broker.frozen():
                ground.pause(2 if ground.short else 20)


RABBITMQ = Scenario("rabbitmq", break_rabbitmq, jobs=(600, 70), on_rabbitmq=True)
