"""How good the starter model is: retrieval, speed and held-out captions, and a sheet to look at."""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gallery.engine.samplers import build_scheduler
from training.starter.captions import BACKGROUNDS, Subject, plain_caption
from training.starter.catalogue import Catalogue, load_catalogue
from training.starter.render import plan_samples, seen_backgrounds
from training.starter.retrieval import Score, features, lab, ranks
from training.starter.things import STYLES, Thing

SEED = 2026
COLOUR_TOLERANCE = 25.0
"""Euclidean distance in L*a*b* within which a background counts as the colour that was asked for."""
BATCH = 8
TIMED = 9
SHEET_COLUMNS = 16


@dataclass(frozen=True)
class Defaults:
    steps: int
    guidance: float
    sampler: str = "DDIM"


@dataclass(frozen=True)
class Request:
    prompt: str
    subject: Subject
    seed: int


@dataclass(frozen=True)
class Evaluation:
    retrieval: Score
    by_style: dict[str, Score]
    held_out_colour: dict[str, float]
    held_out_pair: dict[str, float]
    seconds_per_picture: float
    load_seconds: float
    defaults: Defaults


class Drawer:
    """A plain StableDiffusionPipeline on the CPU at the model's defaults."""

    def __init__(self, model: Path, defaults: Defaults | None = None) -> None:
        from diffusers import StableDiffusionPipeline

        started = time.perf_counter()
        self.pipeline = StableDiffusionPipeline.from_pretrained(
            model, dtype=_float32(), safety_checker=None, requires_safety_checker=False, local_files_only=True
        )
        self.load_seconds = time.perf_counter() - started
        self.pipeline.set_progress_bar_config(disable=True)
        self.defaults = defaults or read_defaults(model)
        self.pipeline.scheduler = build_scheduler(self.defaults.sampler, dict(self.pipeline.scheduler.config))

    def draw(self, requests: Sequence[Request]) -> npt.NDArray[np.uint8]:
        """(N, H, W, 3); each picture has its own seed, and is the same alone or beside others but for rounding."""
        import torch

        pictures = self.pipeline(
            [request.prompt for request in requests],
            num_inference_steps=self.defaults.steps,
            guidance_scale=self.defaults.guidance,
            generator=[torch.Generator().manual_seed(request.seed) for request in requests],
        ).images
        return np.stack([np.asarray(picture) for picture in pictures])

    def draw_all(self, requests: Sequence[Request]) -> npt.NDArray[np.uint8]:
        batches = [requests[start : start + BATCH] for start in range(0, len(requests), BATCH)]
        return np.concatenate([self.draw(batch) for batch in batches])

    def seconds_per_picture(self, requests: Sequence[Request]) -> float:
        """The median of pictures drawn one by one."""
        seconds = []
        for request in requests:
            started = time.perf_counter()
            self.draw([request])
            seconds.append(time.perf_counter() - started)
        return float(np.median(seconds))


def _float32() -> Any:
    import torch

    return torch.float32


def read_defaults(model: Path) -> Defaults:
    suggested = json.loads((model / "imagineer.json").read_text())["defaults"]
    return Defaults(suggested["steps"], suggested["guidance"], suggested["sampler"])


def ask_for_things(things: Sequence[Thing], count: int, seed: int = SEED) -> list[Request]:
    """`count` things drawn without replacement, in rotating styles, each with a seed of its own."""
    chosen = random.Random(seed).sample(list(things), min(count, len(things)))
    subjects = [Subject(thing, STYLES[index % len(STYLES)], "white") for index, thing in enumerate(chosen)]
    return [Request(plain_caption(subject), subject, seed + index) for index, subject in enumerate(subjects)]


def find_ranks(
    requests: Sequence[Request], pictures: npt.NDArray[np.uint8], catalogue: Catalogue
) -> npt.NDArray[np.int64]:
    galleries = {style: features(stack) for style, stack in catalogue.pictures.items()}
    places = {thing.code: index for index, thing in enumerate(catalogue.things)}
    queries = features(pictures)
    found = [
        ranks(query[None], galleries[request.subject.style], np.array([places[request.subject.thing.code]]))[0]
        for request, query in zip(requests, queries, strict=True)
    ]
    return np.array(found, np.int64)


def evaluate(drawer: Drawer, catalogue: Catalogue, count: int) -> tuple[Evaluation, Image.Image]:
    requests = ask_for_things(catalogue.things, count)
    pictures = drawer.draw_all(requests)
    part = requests[: max(2, count // 5)]
    seconds = drawer.seconds_per_picture(requests[:TIMED])
    found = find_ranks(requests, pictures, catalogue)
    by_style = {style: Score.of(found[[request.subject.style == style for request in requests]]) for style in STYLES}
    evaluation = Evaluation(
        Score.of(found),
        by_style,
        measure_colours(drawer, part, catalogue),
        measure_pairs(drawer, part, catalogue),
        round(seconds, 3),
        round(drawer.load_seconds, 2),
        drawer.defaults,
    )
    return evaluation, contact_sheet(pictures)


def measure_colours(drawer: Drawer, requests: Sequence[Request], catalogue: Catalogue) -> dict[str, float]:
    """Things on a ground that training never showed them with: share whose border has the named colour."""
    seen = seen_backgrounds(plan_samples(catalogue.things))
    asked = [_on_ground(request, unseen_background(request, seen)) for request in requests]
    pictures = drawer.draw_all(asked)
    wanted = np.array([BACKGROUNDS[request.subject.background] for request in asked], np.uint8)
    distance = np.linalg.norm(lab(border_colour(pictures)) - lab(wanted), axis=1)
    return {"count": len(asked), "colour": round(float((distance <= COLOUR_TOLERANCE).mean()), 3)}


def unseen_background(request: Request, seen: dict[tuple[str, str], set[str]]) -> str:
    subject = request.subject
    unseen = [name for name in BACKGROUNDS if name not in seen[subject.thing.code, subject.style]]
    return random.Random(request.seed).choice(unseen)


def _on_ground(request: Request, background: str) -> Request:
    subject = replace(request.subject, background=background)
    return Request(plain_caption(subject), subject, request.seed)


def border_colour(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Median of the outermost two pixels: (N, H, W, 3) to (N, 3)."""
    ring = np.ones(pictures.shape[1:3], bool)
    ring[2:-2, 2:-2] = False
    return np.asarray(np.median(pictures[:, ring], axis=1), np.uint8)


def measure_pairs(drawer: Drawer, requests: Sequence[Request], catalogue: Catalogue) -> dict[str, float]:
    """Two things in one caption, which no training caption has: share with either among the five nearest."""
    partners = zip(requests[::2], requests[1::2], strict=False)
    pairs = [(first, replace_style(second, first)) for first, second in partners]
    asked = [replace(first, prompt=pair_prompt(first.subject, second.subject)) for first, second in pairs]
    pictures = drawer.draw_all(asked)
    either = np.minimum(
        find_ranks([first for first, _ in pairs], pictures, catalogue),
        find_ranks([second for _, second in pairs], pictures, catalogue),
    )
    return {"count": len(pairs), "either_top5": round(float((either <= 5).mean()), 3)}


def pair_prompt(first: Subject, second: Subject) -> str:
    return f"{first.thing.name} and {plain_caption(second)}"


def replace_style(request: Request, like: Request) -> Request:
    return replace(request, subject=replace(request.subject, style=like.subject.style))


def contact_sheet(pictures: npt.NDArray[np.uint8], columns: int = SHEET_COLUMNS) -> Image.Image:
    rows = -(-len(pictures) // columns)
    side = pictures.shape[1]
    sheet = np.full((rows * side, columns * side, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * side, index % columns * side
        sheet[top : top + side, left : left + side] = picture
    return Image.fromarray(sheet)


def as_table(evaluation: Evaluation) -> str:
    rows = [("all", evaluation.retrieval), *evaluation.by_style.items()]
    lines = [f"{'':10}{'things':>8}{'top-1':>8}{'top-5':>8}{'median rank':>13}"]
    lines += [
        f"{name:10}{score.count:8}{score.top1:8.1%}{score.top5:8.1%}{score.median_rank:13.1f}" for name, score in rows
    ]
    lines.append(f"a colour not seen with the thing: right ground {evaluation.held_out_colour['colour']:.1%}")
    lines.append(f"two things in one caption: either in the five nearest {evaluation.held_out_pair['either_top5']:.1%}")
    lines.append(f"{evaluation.seconds_per_picture} s a picture, loaded in {evaluation.load_seconds} s")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.starter.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/starter"))
    parser.add_argument("--work-dir", type=Path, default=Path("var/starter"))
    parser.add_argument("--count", type=int, default=200, help="things to draw (default 200)")
    parser.add_argument("--steps", type=int, help="instead of the model's default")
    parser.add_argument("--guidance", type=float, help="instead of the model's default")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--sheet", type=Path, help="where to write the contact sheet (PNG)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    options.work_dir.mkdir(parents=True, exist_ok=True)
    suggested = read_defaults(options.model)
    guidance = suggested.guidance if options.guidance is None else options.guidance
    defaults = Defaults(options.steps or suggested.steps, guidance, suggested.sampler)
    evaluation, sheet = evaluate(Drawer(options.model, defaults), load_catalogue(options.work_dir), options.count)
    if options.sheet:
        sheet.save(options.sheet)
    sys.stdout.write((json.dumps(asdict(evaluation)) if options.json else as_table(evaluation)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
