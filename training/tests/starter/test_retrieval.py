import numpy as np
import pytest

from training.starter.catalogue import Catalogue
from training.starter.evaluate import ask_for_things, border_colour, contact_sheet, find_ranks, unseen_background
from training.starter.render import plan_samples, seen_backgrounds
from training.starter.retrieval import Score, features, lab, ranks
from training.starter.things import STYLES, Thing

THINGS = [Thing(f"1f{index:03x}", f"thing {index}", ("word",), "objects", "tool") for index in range(30)]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Thirty things of coarse coloured blocks, another set in each style."""
    draw = np.random.default_rng(0)
    blocks = {style: draw.integers(0, 256, (30, 8, 8, 3), np.uint8) for style in STYLES}
    return Catalogue(THINGS, {style: stack.repeat(8, axis=1).repeat(8, axis=2) for style, stack in blocks.items()})


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.20))],
)
def test_lab_of_known_colours(rgb: tuple[int, int, int], expected: tuple[float, float, float]):
    assert lab(np.array(rgb, np.uint8)) == pytest.approx(np.array(expected), abs=0.02)


def test_training_pictures_find_themselves(catalogue: Catalogue):
    requests = ask_for_things(catalogue.things, 30)
    index = {thing.code: place for place, thing in enumerate(catalogue.things)}
    own = [catalogue.pictures[request.subject.style][index[request.subject.thing.code]] for request in requests]
    assert Score.of(find_ranks(requests, np.stack(own), catalogue)) == Score(30, 1.0, 1.0, 1.0)


def test_a_tint_over_the_whole_picture_does_not_matter_but_another_thing_does(catalogue: Catalogue):
    requests = ask_for_things(catalogue.things, 2)
    flat = catalogue.pictures["flat"]
    gallery = features(flat)
    tinted = (flat[:1] * 0.8 + 20).astype(np.uint8)
    assert ranks(features(tinted), gallery, np.array([0])).tolist() == [1]
    strangers = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert find_ranks(requests, strangers, catalogue).mean() > 1


def test_a_grey_picture_hits_nothing(catalogue: Catalogue):
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    assert ranks(features(grey), features(catalogue.pictures["3d"]), np.array([4])).tolist() == [30]


def test_requests_are_the_same_each_time_and_rotate_styles(catalogue: Catalogue):
    requests = ask_for_things(catalogue.things, 7)
    assert requests == ask_for_things(catalogue.things, 7)
    assert [request.subject.style for request in requests] == ["3d", "flat", "cartoon", "3d", "flat", "cartoon", "3d"]
    assert len({request.subject.thing.code for request in requests}) == 7


def test_held_out_colour_was_never_shown_with_the_thing(catalogue: Catalogue):
    seen = seen_backgrounds(plan_samples(catalogue.things))
    for request in ask_for_things(catalogue.things, 30):
        subject = request.subject
        assert unseen_background(request, seen) not in seen[subject.thing.code, subject.style]


def test_border_colour_ignores_the_middle():
    picture = np.full((1, 64, 64, 3), (24, 32, 84), np.uint8)
    picture[:, 10:50, 10:50] = 255
    assert border_colour(picture).tolist() == [[24, 32, 84]]


def test_contact_sheet_keeps_order():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    sheet = np.asarray(contact_sheet(pictures, columns=3))
    assert sheet.shape == (8, 12, 3)
    assert [sheet[0, 0, 0], sheet[0, 8, 0], sheet[4, 4, 0], sheet[7, 11, 0]] == [0, 2, 4, 255]
