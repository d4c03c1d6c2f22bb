"""Whose turn it is, and what those who wait are told."""

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from gallery.models import DiffusionModel, Generation
from gallery.services.estimates import learn_estimator
from gallery.tests.makers import make_model
from imagineer import fairness
from imagineer.models import FairShare, User
from tests.people import make_user

Ask = Callable[..., Generation]
WORKER = "test:1"


def serve(seconds: float | dict[int, float] = 5.0) -> Generation | None:
    """Claims the next run and ends it as if it had taken `seconds`, or those of its user."""
    run: Generation | None = fairness.claim_next("generation", WORKER)
    if run is not None:
        took = seconds[run.created_by_id] if isinstance(seconds, dict) else seconds
        run.succeed(seconds=took)
        run.started_at = run.finished_at - timedelta(seconds=took)
        run.save(update_fields=["started_at"])
        fairness.settle(run)
    return run


def test_ten_users_with_twenty_jobs_each_take_turns(ask: Ask) -> None:
    users = [make_user(f"user{number}", "member") for number in range(10)]
    for user in users:
        for _ in range(20):
            ask(user)
    served = [run.created_by_id for _ in range(200) if (run := serve())]
    assert len(served) == 200
    for turn in range(20):
        assert len(set(served[turn * 10 : turn * 10 + 10])) == 10, f"in turn {turn} somebody was passed over"
    assert serve() is None


def test_turns_are_weighed_in_seconds_not_in_jobs(ask: Ask, member: User, other: User) -> None:
    for _ in range(12):
        ask(member)
        ask(other)
    seconds = {member.pk: 30.0, other.pk: 10.0}
    served = [run.created_by_id for _ in range(12) if (run := serve(seconds))]
    assert (served.count(member.pk), served.count(other.pk)) == (3, 9)


def test_a_pause_earns_no_credit(ask: Ask, member: User, other: User) -> None:
    ask(other)
    serve()
    for _ in range(10):
        ask(member)
    for _ in range(4):
        serve(60)
    for _ in range(6):
        ask(other)
    served = [run.created_by_id for _ in range(6) if (run := serve(60))]
    assert served.count(member.pk) == 3, "one who comes back shares from now on, and doesn't catch up"


def test_priority_counts_among_ones_own_only(ask: Ask, member: User, other: User) -> None:
    first, second, stranger = ask(member), ask(member), ask(other)
    Generation.objects.filter(pk=second.pk).update(priority=5)
    assert [serve(), serve(), serve()] == [second, stranger, first]


def test_the_loaded_model_is_preferred_within_one_user(ask: Ask, model: DiffusionModel, other: User) -> None:
    big = make_model("big")
    first, warm, stranger = ask(), ask(model=big.slug), ask(other)
    claimed = fairness.claim_next("generation", WORKER, prefer=lambda run: run.model_id == big.pk)
    assert claimed == warm
    claimed.succeed()
    assert fairness.claim_next("generation", WORKER) == stranger
    assert fairness.claim_next("generation", WORKER) == first


def test_an_attempt_is_charged_what_it_took(ask: Ask, member: User) -> None:
    ask()
    serve(12)
    share = FairShare.objects.get(queue="generation", user_key=member.pk)
    assert 11.5 < share.finish_tag < 12.5


def test_the_forecast_is_the_order_that_comes_true(ask: Ask, member: User, other: User) -> None:
    for user in (member, member, member, other, other):
        ask(user)
    outlooks = fairness.forecast("generation")
    told = sorted(outlooks, key=lambda pk: outlooks[pk].position or 0)
    assert [outlooks[pk].position for pk in told] == [1, 2, 3, 4, 5]
    estimate = learn_estimator()(Generation.objects.get(pk=told[0]))
    assert [round(outlooks[pk].seconds / estimate) for pk in told] == [1, 2, 3, 4, 5]
    assert [run.pk for _ in range(5) if (run := serve(estimate))] == told


def test_the_forecast_counts_what_a_running_one_still_needs(ask: Ask) -> None:
    running, waiting = ask(), ask()
    claimed = fairness.claim_next("generation", WORKER)
    assert claimed == running
    started = timezone.now() - timedelta(seconds=30)
    Generation.objects.filter(pk=running.pk).update(started_at=started, done=9, total=12)
    outlooks = fairness.forecast("generation")
    assert outlooks[running.pk].position is None
    assert 9 < outlooks[running.pk].seconds < 11
    estimate = learn_estimator()(waiting)
    assert outlooks[waiting.pk].position == 1
    assert 9 < outlooks[waiting.pk].seconds - estimate < 11


def test_the_forecast_costs_the_same_for_one_and_for_three(ask: Ask, django_assert_num_queries: object) -> None:
    ask()
    with django_assert_num_queries(5):  # type: ignore[operator]
        fairness.forecast("generation")
    ask()
    ask()
    with django_assert_num_queries(5):  # type: ignore[operator]
        fairness.forecast("generation")
