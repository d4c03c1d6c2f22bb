"""The seam to django-q2, the only module that knows it.

A message is a doorbell: "there is a run waiting in this queue". It names no row, so that a message that comes twice,
late or never is harmless: the worker takes the next run by the rules of imagineer/fairness.py.
"""

from typing import Any

from django.db import transaction

from imagineer import fairness
from imagineer.runs import Run


def submit(run: Run) -> None:
    """Saves a new run and announces it, both or neither."""
    with transaction.atomic():
        fairness.join(run)
        run.save(force_insert=True)
        ring(run)


def resubmit(run: Run) -> bool:
    """An operator's retry of a failed run; False when it was not failed."""
    with transaction.atomic():
        fairness.join(run)
        if not run.retry():
            return False
        ring(run)
    return True


def ring(run: Run) -> None:
    """Announces a queued run. On the database broker the message commits or rolls back with the row."""
    ring_queue(run.queue)


def ring_queue(queue: str, times: int = 1) -> None:
    for _ in range(times):
        _send(queue, "imagineer.tasks.work_next", queue)


def ring_canary(queue: str, cluster: str) -> None:
    """Asks a cluster for a sign of life: see imagineer/supervisor.py."""
    _send(queue, "imagineer.tasks.answer_canary", cluster)


def waiting(queue: str) -> int:
    """Messages that no worker has fetched yet."""
    from django_q.brokers import get_broker

    return int(get_broker(queue).queue_size())


def run_cluster() -> None:
    """Runs the cluster named by Q_CLUSTER_NAME in this process until it is told to stop."""
    from django_q.cluster import Cluster

    Cluster().start()


def is_risky(options: dict[str, Any]) -> str:
    """Why these options would run one message twice; empty when they are safe.

    The lock of a message starts when it is fetched, and up to `queue_limit` messages wait in front of it:
    safe is retry > timeout * (ceil((queue_limit + 1) / workers) + 1). Measured on django-q2 1.11.
    """
    workers, limit = int(options["workers"]), int(options["queue_limit"])
    needed = options["timeout"] * (-(-(limit + 1) // workers) + 1)
    if options["retry"] > needed:
        return ""
    return f"retry is {options['retry']} s and must be more than {needed} s"


def _send(queue: str, function: str, argument: str) -> None:
    from django_q.tasks import async_task

    async_task(function, argument, cluster=queue)
