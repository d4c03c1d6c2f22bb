"""The console: every page opens for operators, only for them, and lists cost the same however long they are."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gallery.models import Generation, Image, Rating, Visibility
from gallery.tests.makers import make_generation, make_image, make_lora, make_model
from imagineer.children import log_path
from imagineer.models import ApiToken, Cluster, Event, MaintenanceRecord, User
from imagineer.roles import MEMBER
from tests.people import make_user

OURS = [model for model in admin.site._registry if model._meta.app_label in ("imagineer", "gallery")]
NAMES = [model._meta.label for model in OURS]
LIST_QUERIES = 12  # session, user, roles, permissions, counts, dates, rows, filters, what columns show


def address(model: Any, page: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def studio(tmp_path, settings, member, operator):
    """One of everything."""
    settings.DATA_DIR = tmp_path
    stored = {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "media"}}
    settings.STORAGES = {**settings.STORAGES, "default": stored}
    model = make_model("tiny", is_default=True)
    generation = make_generation(member, model, [(make_lora("paper"), 0.8)], finished_at=timezone.now())
    make_image(tmp_path, owner=member, generation=generation, index=0)
    ApiToken.issue(member, name="script")
    MaintenanceRecord.note("sweep")
    Cluster.objects.create(name="here:generation:all", queue="generation", host="here", pid=1)
    Event.record(member, "generate", generation)
    return tmp_path


@pytest.fixture
def console(client, studio, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def picture(studio):
    return Image.objects.get()


def act(console: Client, model: Any, action: str, *rows: Any) -> str:
    fields = {"action": action, "_selected_action": [row.pk for row in rows]}
    return console.post(address(model), fields, follow=True).content.decode()


# Every page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", OURS, ids=NAMES)
def test_every_page_opens(console, model):
    assert console.get(address(model)).status_code == 200
    row = model._default_manager.first()
    for page in ("change", "history"):
        assert console.get(address(model, page, row.pk)).status_code == 200
    may_add = admin.site._registry[model].has_add_permission(console.get("/admin/").wsgi_request)
    assert console.get(address(model, "add")).status_code == (200 if may_add else 403)


@pytest.mark.parametrize("model", OURS, ids=NAMES)
def test_every_filter_and_order_works(console, model):
    page = admin.site._registry[model]
    for number in range(1, len(page.list_display) + 1):
        assert console.get(address(model), {"o": number}).status_code == 200
    links = re.findall(r'href="(\?[^"]+)"', console.get(address(model)).content.decode())
    for link in {link.replace("&amp;", "&") for link in links}:
        assert console.get(address(model) + link).status_code == 200
    if page.search_fields:
        assert console.get(address(model), {"q": "owl"}).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=NAMES)
def test_members_and_strangers_see_no_page(client, studio, model):
    pages = [address(model), address(model, "change", model._default_manager.first().pk)]
    for person in (make_user("other", "member"), make_user("guest")):
        client.force_login(person)
        assert [client.get(page, follow=True).status_code for page in pages] == [403, 403]


def test_nothing_is_offered_that_shows_pickles_or_secrets():
    labels = {model._meta.label for model in admin.site._registry}
    assert not [label for label in labels if label.startswith("django_q.")]
    assert labels.isdisjoint({"socialaccount.SocialApp", "socialaccount.SocialToken", "auth.Group"})


def test_what_only_the_program_writes_can_not_be_written(console):
    for model in (Event, MaintenanceRecord, Cluster):
        row = model._default_manager.first()
        before = model.objects.filter(pk=row.pk).values().get()
        assert console.post(address(model, "change", row.pk), {"name": "x", "verb": "x"}).status_code == 403
        assert console.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        assert model.objects.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize("model", [Generation, Image, User, ApiToken, Event], ids=lambda model: model._meta.label)
def test_lists_cost_the_same_with_one_row_and_with_many(console, studio, member, model, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    console.get(address(model))
    with CaptureQueriesContext(
        connection,
    ) as one:
        console.get(address(model))
    for number in range(3):
        other = make_user(f"user{number}", "member")
        generation = make_generation(other, Generation.objects.get(created_by=member).model)
        make_image(studio, owner=other, generation=generation, index=0)
        ApiToken.issue(other, name="script")
        Event.record(other, "generate", generation)
    with CaptureQueriesContext(connection) as many:
        console.get(address(model))
    assert len(many) == len(one) <= LIST_QUERIES


# Runs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def failed(studio, member):
    model = Generation.objects.first().model
    error = "The device ran out of memory at 2048 × 2048; make the picture smaller."
    return make_generation(member, model, status="failed", error=error, finished_at=timezone.now())


def test_the_dashboard_tells_what_matters(console, member, failed):
    model = failed.model
    make_generation(member, model, status="queued", created_at=timezone.now() - timedelta(minutes=7))
    make_generation(
        member, model, status="running", started_at=timezone.now(), done=3, total=12, message="Step 3 of 12"
    )
    page = " ".join(console.get("/admin/").content.decode().split())
    assert "1 <span>waiting</span>" in page
    assert "the oldest for 7 minutes" in page
    assert "0 <span>alive</span>" in page
    assert "1 silent" in page
    assert "1 <span>failed</span>" in page
    assert "1 succeeded" in page
    assert "Step 3 of 12" in page
    assert "ran out of memory at 2048 × 2048" in page
    assert address(Generation, "retry", failed.pk) in page


def test_the_dashboard_with_nothing(client, operator):
    client.force_login(operator)
    page = client.get("/admin/").content.decode()
    assert "Nothing is running." in page
    assert "Nothing has failed." in page


def test_retry_puts_a_failed_run_back(console, failed):
    assert console.post(address(Generation, "retry", failed.pk), {"dashboard": "1"})["Location"] == "/admin/"
    failed.refresh_from_db()
    assert (failed.status, failed.error) == ("queued", "")
    again = console.post(address(Generation, "retry", failed.pk), follow=True).content.decode()
    assert "It hadn&#x27;t failed." in again
    assert Event.objects.filter(verb="resubmit", target_id=failed.pk).count() == 1


def test_cancel_stops_a_waiting_run(console, member, failed):
    waiting = make_generation(member, failed.model, status="queued")
    console.post(address(Generation, "cancel", waiting.pk))
    waiting.refresh_from_db()
    assert waiting.status == "cancelled"


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_runs_are_acted_on_by_post_and_by_operators(console, member, failed, verb):
    assert console.get(address(Generation, verb, failed.pk)).status_code == 405
    console.force_login(member)
    assert console.post(address(Generation, verb, failed.pk), follow=True).status_code == 403
    failed.refresh_from_db()
    assert failed.status == "failed"


def test_actions_on_runs_count(console, member, failed):
    waiting = make_generation(member, failed.model, status="queued")
    assert "1 run requeued, 1 had not failed." in act(console, Generation, "retry_selected", failed, waiting)
    assert "2 runs cancelled." in act(console, Generation, "cancel_selected", failed, waiting)
    assert "0 runs cancelled, 2 had ended already." in act(console, Generation, "cancel_selected", failed, waiting)


def test_a_run_shows_its_log_and_takes_no_edits(console, failed):
    path = log_path(failed)
    path.parent.mkdir(parents=True)
    path.write_text("first\n" * 5000 + "the <last> line\n")
    page = console.get(address(Generation, "change", failed.pk)).content.decode()
    assert "the &lt;last&gt; line" in page
    assert page.count("first\n") < 5000
    console.post(address(Generation, "change", failed.pk), {"prompt": "another", "status": "succeeded"})
    failed.refresh_from_db()
    assert (failed.prompt, failed.status) == ("an owl under a lantern", "failed")


# People --------------------------------------------------------------------------------------------------------------


def test_an_operator_makes_an_account(console):
    from django.contrib.auth.models import Group

    page = console.get(address(User, "add")).content.decode()
    assert 'type="checkbox" name="groups"' in page
    member = Group.objects.get(name=MEMBER)
    fields = {"email": "Nora@Example.org", "name": "Nora", "groups": [member.pk], "usable_password": "false"}
    console.post(address(User, "add"), fields)
    user = User.objects.get(email__iexact="nora@example.org")
    assert [group.name for group in user.groups.all()] == ["member"]
    assert user.emailaddress_set.get().verified
    assert Event.objects.filter(verb="add", target_id=user.pk).exists()


def test_roles_are_taken_and_given(console, member):
    from django.contrib.auth.models import Group

    operators = Group.objects.get(name="operator")
    fields = {"email": member.email, "name": "M", "is_active": "on", "groups": [operators.pk]}
    console.post(address(User, "change", member.pk), fields)
    assert [group.name for group in User.objects.get(pk=member.pk).groups.all()] == ["operator"]


def test_operators_do_not_touch_administrators(console, operator):
    chief = User.objects.create_superuser("chief@example.org", "lantern-owl-74")
    assert console.post(address(User, "change", chief.pk), {"email": "x@example.org"}).status_code == 403
    assert console.get(f"/admin/imagineer/user/{chief.pk}/password/").status_code == 403
    act(console, User, "deactivate", chief)
    fields = {"email": operator.email, "name": "", "is_active": "on", "is_superuser": "on"}
    console.post(address(User, "change", operator.pk), fields)
    assert User.objects.filter(is_superuser=True, is_active=True).get() == chief


def test_accounts_are_switched_off_but_never_ones_own(console, operator, member):
    page = act(console, User, "deactivate", member, operator)
    assert "1 account deactivated." in page
    assert list(User.objects.filter(is_active=False)) == [member]
    assert "1 account activated." in act(console, User, "activate", member)
    assert console.post(address(User, "delete", member.pk), {"post": "yes"}).status_code == 403


def test_a_token_is_shown_once(console, member):
    fields = {"user": member.pk, "name": "laptop", "scopes": ["read", "generate"], "days": 30}
    response = console.post(address(ApiToken, "add"), fields)
    secret = re.search(r"img_[\w-]+", response.content.decode()).group()
    token = ApiToken.objects.get(name="laptop")
    assert token.digest == ApiToken.digest_of(secret)
    assert (token.user, token.scopes) == (member, ["read", "generate"])
    assert "no-store" in response["Cache-Control"]
    for page in (address(ApiToken), address(ApiToken, "change", token.pk)):
        assert secret not in console.get(page).content.decode()
    assert "1 token revoked." in act(console, ApiToken, "revoke", token)
    assert not ApiToken.objects.usable().filter(pk=token.pk).exists()
    assert "0 tokens revoked." in act(console, ApiToken, "revoke", token)


def test_a_token_for_an_administrator_is_an_administrators(console):
    chief = User.objects.create_superuser("chief@example.org", "lantern-owl-74")
    fields = {"user": chief.pk, "name": "sneaky", "scopes": ["operate"]}
    assert "Select a valid choice" in console.post(address(ApiToken, "add"), fields).content.decode()
    assert not ApiToken.objects.filter(user=chief).exists()
    console.force_login(chief)
    assert "img_" in console.post(address(ApiToken, "add"), fields).content.decode()


# Pictures, models, LoRAs ---------------------------------------------------------------------------------------------


def test_pictures_are_published_rated_locked_and_trashed(console, picture, member):
    assert "1 picture published." in act(console, Image, "publish", picture)
    picture.refresh_from_db()
    assert (picture.visibility, picture.rating) == (Visibility.PUBLIC, Rating.SAFE)
    assert "1 picture rated explicit." in act(console, Image, "rate_explicit", picture)
    assert "1 picture locked." in act(console, Image, "lock_rating", picture)
    assert "1 picture moved to the trash." in act(console, Image, "trash", picture)
    picture.refresh_from_db()
    assert (picture.rating, picture.rating_locked, picture.deleted_at is None) == (Rating.EXPLICIT, True, False)
    assert "1 picture brought back." in act(console, Image, "restore", picture)
    assert "1 picture made private." in act(console, Image, "make_private", picture)
    picture.refresh_from_db()
    assert (picture.visibility, picture.deleted_at) == (Visibility.PRIVATE, None)


def test_actions_count_what_the_filter_no_longer_shows(console, picture):
    fields = {"action": "publish", "_selected_action": [picture.pk]}
    page = console.post(f"{address(Image)}?visibility__exact=private", fields, follow=True)
    assert "1 picture published." in page.content.decode()


def test_a_picture_is_described_through_the_service(console, picture, operator):
    fields = {"title": "The owl", "alt": "x", "visibility": "public", "rating": "adult", "licence": "", "author": ""}
    console.post(address(Image, "change", picture.pk), {**fields, "sha256": "0" * 64})
    changed = Image.objects.get()
    assert (changed.title, changed.rating, changed.rating_source) == ("The owl", "adult", "operator")
    assert changed.sha256 == picture.sha256
    assert Event.objects.filter(verb="update", actor=operator).count() == 1


def test_there_is_one_default_model(console, studio):
    other = make_model("other")
    model = type(other)
    assert "The default model is other now." in act(console, model, "make_default", other)
    assert [row.slug for row in model.objects.filter(is_default=True)] == ["other"]
    assert "Select one model" in act(console, model, "make_default", *model.objects.all())
    assert "2 models disabled." in act(console, model, "disable", *model.objects.all())
    assert "Select one model" in act(console, model, "make_default", other)
    assert "1 model enabled." in act(console, model, "enable", other)


def test_what_the_files_say_is_not_edited(console, studio):
    lora = make_lora("ink")
    fields = {"name": "Ink", "enabled": "on", "default_weight": "0.5", "trigger_words": '["ink"]', "family": "sdxl"}
    console.post(address(type(lora), "change", lora.pk), fields)
    lora.refresh_from_db()
    assert (lora.name, lora.default_weight, lora.trigger_words, lora.family) == ("Ink", 0.5, ["ink"], "sd1")
