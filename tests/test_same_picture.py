"""The same request gives the same picture: from shell, API or page, alone or in a batch, after a restart."""

import json
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageChops
import pytest
from django.core.files.storage import default_storage
from django.test import Client

from gallery.models import Generation, Image, Verdict
from gallery.services.requests import rerun_generation
from imagineer.models import User
from imagineer.runs import RunStatus
from tests.people import Api
from tests.studio import Studio, wait_until

pytestmark = pytest.mark.slow
REQUEST: dict[str, Any] = {"prompt": "red apple, 3d style", "steps": 6, "seed": 0, "guidance": 3.5, "count": 3}


@pytest.fixture
def user(studio: Studio) -> User:
    return User.objects.create_superuser("operator@example.org", "x")


def pictures_of(generation: Generation, seconds: float = 90) -> list[PIL.Image.Image]:
    def ended() -> bool:
        generation.refresh_from_db()
        return generation.is_terminal

    wait_until(ended, seconds, "the generation did not end")
    assert generation.status == RunStatus.SUCCEEDED, generation.error
    images = Image.objects.filter(generation=generation).order_by("index")
    return [opened(Path(default_storage.path(image.original_key))) for image in images]


def opened(path: Path) -> PIL.Image.Image:
    with PIL.Image.open(path) as picture:
        return picture.convert("RGB")


def from_shell(studio: Studio, **options: Any) -> list[PIL.Image.Image]:
    request = {**REQUEST, **options}
    prompt = request.pop("prompt")
    arguments = [part for name, value in request.items() for part in (f"--{name}", str(value))]
    answer = studio.manage("generate", prompt, *arguments, "--out", str(studio.root / "out"), "--json")
    assert answer.returncode == 0, answer.stderr
    return [opened(Path(row["file"])) for row in json.loads(answer.stdout)["images"]]


def from_api(api: Api, **fields: Any) -> Generation:
    answer = api.send("/generations", {**REQUEST, **fields})
    assert answer.status_code == 202, answer.content
    return Generation.objects.get(pk=answer.json()["id"])


def from_page(client: Client) -> Generation:
    answer = client.post("/create", REQUEST)
    assert answer.status_code == 302, answer.content
    assert answer["Location"].startswith("/create?generation=")
    return Generation.objects.get(pk=answer["Location"].partition("=")[2])


def pixels(pictures: list[PIL.Image.Image]) -> list[bytes]:
    return [picture.tobytes() for picture in pictures]


def test_wherever_it_is_asked_for(studio: Studio, user: User) -> None:
    client, api = Client(), Api(user)
    client.force_login(user)
    studio.start()
    first = from_api(api)
    of_api = pixels(pictures_of(first))
    assert len(set(of_api)) == 3, "each picture of a batch has a seed of its own"
    assert pixels(pictures_of(from_page(client))) == of_api
    assert pixels(from_shell(studio)) == of_api
    assert studio.stop() == 0
    studio.start()
    assert pixels(pictures_of(from_api(api))) == of_api, "a restart changes nothing"
    rerun = rerun_generation(user, first)
    assert pixels(pictures_of(rerun)) == of_api
    assert rerun.verdict == Verdict.IDENTICAL


def test_alone_or_in_a_batch_and_with_the_seed_that_is_recorded(studio: Studio, user: User) -> None:
    api = Api(user)
    studio.start()
    batch = pictures_of(from_api(api, seed=4294967295, guidance=0))
    alone = [pictures_of(from_api(api, seed=seed, count=1, guidance=0))[0] for seed in (4294967295, 0, 1)]
    for one, other in zip(batch, alone, strict=True):
        extrema: Any = PIL.ImageChops.difference(one, other).getextrema()
        assert max(high for _, high in extrema) <= 2
    unseeded = from_api(api, seed=None, count=1)
    surprise = pixels(pictures_of(unseeded))
    assert pixels(pictures_of(from_api(api, seed=unseeded.seed, count=1))) == surprise
    assert surprise != pixels(pictures_of(from_api(api, count=1)))
    guided = pixels(pictures_of(from_api(api, count=1, seed=1, guidance=5)))
    assert guided != pixels([alone[2]]), "guidance 0 is not the default guidance"
