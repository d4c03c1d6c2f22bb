"""What django-q2 calls. The messages carry the names of queues and clusters, never a row."""

import errno
import logging
import os
import traceback

from django.utils import timezone

from imagineer import fairness
from imagineer.models import Cluster
from imagineer.runs import LeaseLost, Run, RunCancelled, RunFailed, performer_of

logger = logging.getLogger(__name__)


def work_next(queue: str) -> None:
    """Does the next run of a queue, if there is one: a doorbell that rings twice finds nobody at home."""
    run = fairness.claim_next(queue, worker_name(), prefer=_is_warm)
    if run is not None:
        perform(run)


def perform(run: Run) -> None:
    """Does one claimed run and writes how it ended; never raises."""
    try:
        performer_of(type(run)).perform(run)
        run.succeed()
    except RunCancelled:
        run.finish_cancelled()
    except LeaseLost as lost:
        logger.warning("%s", lost)
        return
    except RunFailed as failure:
        run.fail(str(failure))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            _fail_unexpectedly(run)
        else:
            run.fail("The disk is full; free some space, then try again.")
    except Exception:  # noqa: BLE001 - a bug in one run must not take the worker down
        _fail_unexpectedly(run)
    fairness.settle(run)


def _fail_unexpectedly(run: Run) -> None:
    """To be called while the exception is handled."""
    logger.exception("%s failed unexpectedly", run)
    sentence = "Something went wrong inside Imagineer; the log of this run has the details."
    run.fail(sentence, traceback=traceback.format_exc())


def answer_canary(cluster: str) -> None:
    Cluster.objects.filter(name=cluster).update(answered_at=timezone.now())


def worker_name() -> str:
    """Names a worker process. The supervisor knows its cluster's runs by the part before the last colon."""
    return f"{cluster_name()}:{os.getpid()}"


def cluster_name() -> str:
    return os.environ.get("IMAGINEER_CLUSTER", "shell")


def _is_warm(run: Run) -> bool:
    return performer_of(type(run)).is_warm(run)
