"""Galleries of many pictures that share one picture's files, and how long their pages take.

`python -m tests.bench.gallery 200000` fills the database that the settings name.
"""

import contextlib
import random
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

BATCH = 2000
MOST_QUERIES = 12
WORDS = ("owl", "fox", "apple", "rocket", "lighthouse", "tea", "garden", "robot", "castle", "river", "violin", "snow")
COMMON, RARE = "lantern", "quetzal"  # in every second picture; in about twenty of 2 000 and of 200 000
PAGES = {
    "front page": "/",
    "deep page": "/?cursor={deep}",
    "search, common word": f"/search?q={COMMON}",
    "search, rare word": f"/search?q={RARE}",
    "search, two words": f"/search?q={COMMON}+castle",
    "search, common, deep": f"/search?q={COMMON}&cursor={{found}}",
    "search, facets": f"/search?q={COMMON}&source=generated&rating=safe&since=2026-01-01",
    "search, no word": "/search",
    "LoRA": "/loras/bench",
}


def fill(count: int) -> None:
    """Public pictures, a minute apart, of which one in ten is private or not rated."""
    from gallery.models import DiffusionModel, Generation, GenerationLora, Image, Lora
    from gallery.services.documents import write_documents
    from imagineer.models import User
    from imagineer.runs import RunStatus

    user = User.objects.create_superuser(f"filler{count}@example.org", None)
    model, _ = DiffusionModel.objects.get_or_create(slug="bench", name="Bench", family="sd1", location="nowhere")
    lora, _ = Lora.objects.get_or_create(slug="bench", name="Bench", family="sd1", sha256="b" * 64)
    chance = random.Random(count)
    for start in range(0, count, BATCH):
        generation = Generation.objects.create(
            created_by=user, model=model, prompt="made for a benchmark", width=512, height=512, steps=20,
            guidance=7, sampler="Euler", seed=start, status=RunStatus.SUCCEEDED,
        )  # fmt: skip
        if start % (BATCH * 10) == 0:
            GenerationLora.objects.create(generation=generation, lora=lora, weight=0.8, position=0)
        rows = [_picture(generation, index, start + index, count, chance) for index in range(min(BATCH, count - start))]
        write_documents(Image.objects.bulk_create(rows))


def _picture(generation: Any, index: int, number: int, count: int, chance: random.Random) -> Any:
    from gallery.models import Image

    words = chance.sample(WORDS, 4)
    words += [COMMON] if number % 2 else []
    words += [RARE] if number % max(1, count // 20) == 1 else []
    hidden = number % 10 == 9
    return Image(
        source="generated", visibility="private" if hidden and number % 20 == 19 else "public",
        rating="unrated" if hidden else "safe", alt=f"{' '.join(words)}, picture {number}", sha256="c" * 64,
        format="png", bytes=100_000, width=512, height=chance.choice((384, 512, 640)), seed=number,
        generation=generation, index=index,
        created_at=datetime.fromisoformat("2026-01-01T00:00:00Z") + timedelta(minutes=number),
    )  # fmt: skip


def addresses() -> dict[str, str]:
    """With the cursors of pages near the end."""
    from gallery.models import Image
    from gallery.services.finding import FOUND_NEWEST
    from imagineer.pagination import NEWEST, PageParameters, paginate

    page = PageParameters(cursor=None, limit=40)
    cursors = {}
    public, found = Image.objects.open_to_all(), Image.objects.open_to_all().search(COMMON)
    for name, images, order in (("deep", public, NEWEST), ("found", found, FOUND_NEWEST)):
        oldest = order.columns[0].lstrip("-")
        late = images.order_by(oldest)[200]
        _, cursors[name] = paginate(images.filter(**{f"{oldest}__lte": getattr(late, oldest)}), page, order)
    return {name: path.format(**cursors) for name, path in PAGES.items()}


@contextlib.contextmanager
def in_galleries() -> Iterator[None]:
    """For `compare`, which changes the database under the connection."""
    from django.conf import settings
    from django.db import connection
    from django.test import override_settings

    before = connection.settings_dict["NAME"]
    static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    try:
        with override_settings(STORAGES={**settings.STORAGES, "staticfiles": static}, ALLOWED_HOSTS=["testserver"]):
            yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def measure(client: Any, path: str, times: int = 9) -> tuple[float, int]:
    """Seconds of server time, the median, and the number of queries."""
    from django.db import connection

    made = 0

    def count(execute: Any, *arguments: Any) -> Any:
        nonlocal made
        made += 1
        return execute(*arguments)

    client.get(path)
    with connection.execute_wrapper(count):
        assert client.get(path).status_code == 200, path
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        client.get(path)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken), made


def compare(folder: Path, sizes: tuple[int, int] = (2_000, 200_000)) -> Iterator[tuple[str, float, float, int]]:
    """Page by page: its name, seconds with few and with many pictures, and the most queries."""
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    known: dict[int, dict[str, str]] = {}

    def use(size: int) -> None:
        connection.close()
        connection.settings_dict["NAME"] = str(folder / f"gallery-{size}.sqlite3")

    for size in sizes:
        use(size)
        call_command("migrate", verbosity=0)
        fill(size)
        known[size] = addresses()
    for name in PAGES:
        results = []
        for size in sizes:
            use(size)
            results.append(measure(Client(), known[size][name]))
        (few, queries), (many, more) = results
        yield name, few, many, max(queries, more)


def main() -> None:
    import django

    django.setup()
    fill(int(sys.argv[1]))


if __name__ == "__main__":
    main()
