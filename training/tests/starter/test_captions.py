import random

from training.starter.captions import BACKGROUNDS, UNSAID_STYLE, Subject, plain_caption, write_caption
from training.starter.render import plan_samples, seen_backgrounds
from training.starter.things import STYLES, Thing

APPLE = Thing("1f34e", "red apple", ("fruit", "apple", "red"), "food-drink", "food-fruit")


def written(subject: Subject, count: int = 60) -> list[str]:
    draw = random.Random(7)
    return [write_caption(subject, draw) for _ in range(count)]


def test_plain_caption_says_name_style_and_colour():
    assert plain_caption(Subject(APPLE, "flat", "navy")) == "red apple, flat style, navy background"
    assert plain_caption(Subject(APPLE, "3d", "white")) == "red apple, 3d style"


def test_same_seed_writes_same_captions():
    subject = Subject(APPLE, "cartoon", "mint")
    assert written(subject) == written(subject)
    assert len(set(written(subject))) > 5


def test_style_and_colour_are_never_left_out_where_they_matter():
    assert all(
        "flat" in caption and "navy background" in caption for caption in written(Subject(APPLE, "flat", "navy"))
    )


def test_a_caption_without_style_words_belongs_to_one_style():
    bare = {
        style for style in STYLES if not all(style in caption for caption in written(Subject(APPLE, style, "white")))
    }
    assert bare == {UNSAID_STYLE}


def test_a_thing_without_keywords_keeps_its_name():
    lonely = Thing("1f9c5", "onion", (), "food-drink", "food-vegetable")
    assert all("onion" in caption for caption in written(Subject(lonely, "3d", "white")))
    assert any(caption.startswith("an onion") for caption in written(Subject(lonely, "3d", "white")))


def test_plan_shows_each_thing_in_each_style_half_of_the_time_on_white():
    samples = plan_samples([APPLE], copies=4, captions=2, seed=1)
    assert len(samples) == 4 * len(STYLES)
    assert [sample.subject.background == "white" for sample in samples] == [True, False] * 6
    assert samples == plan_samples([APPLE], copies=4, captions=2, seed=1)


def test_some_colours_stay_unseen_with_each_thing():
    seen = seen_backgrounds(plan_samples([APPLE]))[APPLE.code, "flat"]
    assert "white" in seen
    assert len(set(BACKGROUNDS) - seen) >= 5
