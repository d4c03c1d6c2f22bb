"""How long a generation takes, learned from those that have been made on this machine."""

from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

from django.db.models import F

from gallery.models import Generation
from imagineer.runs import RunStatus

HISTORY = 300  # latest generations that are looked at
FIRST_GUESS = 5.0  # seconds a picture, before anything has been made


def learn_estimator() -> Callable[[Any], float]:
    """One query. Like is compared with like: model, size and steps; then the model; then everything."""
    exact: dict[tuple[int, int, int, int], list[float]] = defaultdict(list)
    rates: dict[int, list[float]] = defaultdict(list)
    for model, width, height, steps, count, started, finished in _history():
        seconds = (finished - started).total_seconds()  # from claim to end, saving and book-keeping included
        exact[model, width, height, steps].append(seconds / count)
        rates[model].append(seconds / (count * _work(width, height, steps)))
    everything = [rate for of_model in rates.values() for rate in of_model]

    def estimate(run: Generation) -> float:
        alike = exact.get((run.model_id, run.width, run.height, run.steps))
        if alike:
            return run.count * median(alike)
        known = rates.get(run.model_id) or everything
        if known:
            return run.count * median(known) * _work(run.width, run.height, run.steps)
        return run.count * FIRST_GUESS

    return estimate


def _history() -> Any:
    done = Generation.objects.filter(status=RunStatus.SUCCEEDED, finished_at__gt=F("started_at"))
    columns = ("model_id", "width", "height", "steps", "count", "started_at", "finished_at")
    return done.order_by("-finished_at").values_list(*columns)[:HISTORY]


def _work(width: int, height: int, steps: int) -> float:
    """Steps over pixels, with a share that doesn't grow with the size: decoding, encoding the prompt, saving."""
    return (steps + 2) * width * height
