"""The door: who comes in, who stays out, and how fast somebody who lost a right is without it."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.contrib.auth.models import Group
from django.core import mail
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.urls import reverse

from imagineer.accounts import SocialAccountAdapter, vouch_for_address
from imagineer.checks import check_signup_list
from imagineer.models import Event, User
from tests.people import make_user

PASSWORD = "lantern-owl-74"
LOGIN = "/accounts/login/"
SIGNUP = "/accounts/signup/"


@pytest.fixture(autouse=True)
def fresh_limits(settings):
    """The limits are counted in the cache, which outlives a test; slow hashing is Django's to test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def known(member):
    member.set_password(PASSWORD)
    member.save()
    return member


def log_in(client: Client, email: str = "member@example.org", password: str = PASSWORD, **fields: str) -> Any:
    return client.post(LOGIN, {"login": email, "password": password, **fields})


def sign_up(client: Client, email: str = "new@example.org") -> Any:
    return client.post(SIGNUP, {"email": email, "password1": PASSWORD, "password2": PASSWORD})


# Logging in ----------------------------------------------------------------------------------------------------------


def test_a_member_logs_in_and_out(client, known):
    assert log_in(client)["Location"] == "/"
    assert client.get("/mine").status_code == 200
    assert client.post("/accounts/logout/")["Location"] == "/"
    assert client.get("/mine")["Location"] == f"{LOGIN}?next=/mine"


def test_the_address_is_read_in_any_case(client, known):
    assert log_in(client, "Member@Example.ORG")["Location"] == "/"


def test_a_wrong_password_and_an_unknown_address_are_told_alike(client, known):
    texts = []
    for email in ("member@example.org", "nobody@example.org"):
        page = log_in(client, email, "wrong").content.decode()
        texts.append(re.search(r'role="alert">.*?<span>(.*?)</span>', page, re.S).group(1))
        assert f'value="{email}"' in page  # what was typed is still there
    assert texts[0] == texts[1]


def test_guessing_is_stopped(client, known):
    answers = [log_in(client, password="wrong") for _ in range(6)]
    assert "Too many failed login attempts" in answers[-1].content.decode()
    assert "Too many failed login attempts" in log_in(client).content.decode()  # even with the right one


def test_one_address_can_not_knock_for_ever(client, db):
    statuses = [log_in(client, f"user{number}@example.org").status_code for number in range(31)]
    assert statuses[-1] == 429
    assert "Too many attempts" in log_in(client).content.decode()


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_next_leads_nowhere_else(client, known, wanted):
    assert log_in(client, next=wanted)["Location"] == "/"
    for address in ("/adult", reverse("account_logout")):
        assert client.post(address, {"next": wanted, "adult": "yes"})["Location"] == "/"


def test_next_leads_on_within_the_site(client, known):
    assert log_in(client, next="/create?prompt=owl")["Location"] == "/create?prompt=owl"


def test_a_password_reset_goes_by_mail(client, known):
    client.post("/accounts/password/reset/", {"email": "member@example.org"})
    link = re.search(r"http://\S+(/accounts/password/reset/key/\S+)", mail.outbox[0].body).group(1)
    form = client.get(link)["Location"]
    client.post(form, {"password1": "another-owl-75", "password2": "another-owl-75"})
    assert log_in(client, password="another-owl-75")["Location"] == "/"


def test_changing_the_password_ends_other_sessions(client, known):
    elsewhere = Client()
    log_in(client)
    log_in(elsewhere)
    fields = {"oldpassword": PASSWORD, "password1": "another-owl-75", "password2": "another-owl-75"}
    client.post("/accounts/password/change/", fields)
    assert elsewhere.get("/mine").status_code == 302


@pytest.mark.parametrize(
    "name", ["account_login", "account_signup", "account_reset_password", "account_logout", "account_inactive"]
)
def test_pages_for_everybody(client, known, name):
    if name == "account_logout":
        client.force_login(known)
    response = client.get(reverse(name))
    assert response.status_code == 200
    assert 'class="header"' in response.content.decode()


@pytest.mark.parametrize("name", ["account_email", "account_change_password", "socialaccount_connections"])
def test_pages_for_members(client, known, name):
    client.force_login(known)
    assert 'class="tabs"' in client.get(reverse(name)).content.decode()


# Opening an account --------------------------------------------------------------------------------------------------


def test_sign_up_is_closed(client, db):
    assert "Accounts are by invitation" in sign_up(client).content.decode()
    assert not User.objects.exists()
    assert SIGNUP not in client.get(LOGIN).content.decode()


def test_sign_up_opens_by_a_setting(client, db, settings):
    settings.SIGNUP_OPEN = True
    assert SIGNUP in client.get(LOGIN).content.decode()
    sign_up(client)
    user = User.objects.get()
    assert [group.name for group in user.groups.all()] == ["member"]
    assert Event.objects.get().verb == "signed up"
    assert client.get("/mine").status_code == 200


@pytest.mark.parametrize(
    ("email", "may"),
    [
        ("friend@elsewhere.example", True),
        ("anybody@studio.example", True),
        ("stranger@elsewhere.example", False),
        ("x@notstudio.example", False),
        ("x@sub.studio.example", False),
    ],
)
def test_a_list_opens_sign_up_to_verified_addresses(client, db, settings, email, may):
    settings.SIGNUP_ALLOW = ["friend@elsewhere.example", "studio.example"]
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    page = sign_up(client, email)
    assert User.objects.exists() is may
    if not may:
        assert "not on the list" in page.content.decode()
        return
    assert client.get("/mine").status_code == 302  # not before the address is proved
    link = re.search(r"http://\S+(/accounts/confirm-email/\S+)", mail.outbox[0].body).group(1)
    client.post(link)
    log_in(client, email)
    assert client.get("/mine").status_code == 200


def test_a_list_without_a_mail_server_opens_nothing_and_is_warned_of(client, db, settings):
    settings.SIGNUP_ALLOW = ["studio.example"]
    assert "Accounts are by invitation" in sign_up(client, "x@studio.example").content.decode()
    assert [warning.id for warning in check_signup_list()] == ["imagineer.W003"]
    settings.EMAIL_HOST = "mail.example"
    assert check_signup_list() == []


# Google --------------------------------------------------------------------------------------------------------------


def test_without_google_there_is_nothing_of_google(client, db):
    assert "Google" not in client.get(LOGIN).content.decode()
    assert client.get("/accounts/google/login/").status_code == 404


def test_with_google_the_button_leads_there(client, db, settings):
    settings.GOOGLE_CLIENT_ID = "an-id"
    apps = [{"client_id": "an-id", "secret": "a-secret", "key": ""}]
    settings.SOCIALACCOUNT_PROVIDERS = {"google": {**settings.SOCIALACCOUNT_PROVIDERS["google"], "APPS": apps}}
    assert "Continue with Google" in client.get(LOGIN).content.decode()
    assert client.get("/accounts/google/login/").status_code == 200  # asks first: a link must not log anybody in
    there = client.post("/accounts/google/login/")["Location"]
    assert there.startswith("https://accounts.google.com/")
    assert "code_challenge" in there


@pytest.mark.parametrize(
    ("address", "verified", "may"),
    [("x@studio.example", True, True), ("x@studio.example", False, False), ("x@elsewhere.example", True, False)],
)
def test_google_accounts_follow_the_same_list(db, settings, address, verified, may):
    settings.SIGNUP_ALLOW = ["studio.example"]
    login = SocialLogin(
        user=User(email=address),
        account=SocialAccount(provider="google", uid="1"),
        email_addresses=[EmailAddress(email=address, verified=verified)],
    )
    assert SocialAccountAdapter().is_open_for_signup(RequestFactory().get("/"), login) is may


# Roles ---------------------------------------------------------------------------------------------------------------


def test_the_console_has_no_door_of_its_own(client, known):
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    door = client.get("/admin/login/?next=/admin/gallery/")["Location"]
    assert door == f"{LOGIN}?next=/admin/gallery/"
    client.force_login(known)
    assert client.get("/admin/login/").status_code == 403


def test_an_operator_comes_through_the_door_to_where_they_wanted(client, operator):
    operator.set_password(PASSWORD)
    operator.save()
    door = client.get("/admin/imagineer/user/", follow=True).redirect_chain[-1][0]
    fields = {"login": operator.email, "password": PASSWORD, "next": "/admin/imagineer/user/"}
    assert door == f"{LOGIN}?next=/admin/imagineer/user/"
    assert client.post(door, fields)["Location"] == "/admin/imagineer/user/"
    assert client.get("/admin/login/")["Location"] == "/admin/"


@pytest.mark.parametrize("address", ["/admin/", "/admin/imagineer/user/", "/admin/gallery/image/"])
def test_who_enters_the_console(member, operator, address):
    statuses = []
    for person in (operator, member, None):
        client = Client()
        if person:
            client.force_login(person)
        statuses.append(client.get(address, follow=True).status_code)
    assert statuses == [200, 403, 200]  # the last is the log-in page
    assert client.get(address).status_code == 302


def test_a_role_that_is_taken_is_gone_with_the_next_request(client, operator):
    client.force_login(operator)
    assert client.get("/admin/").status_code == 200
    operator.groups.remove(Group.objects.get(name="operator"))
    assert client.get("/admin/", follow=True).status_code == 403
    assert client.get("/create").status_code == 200
    operator.groups.clear()
    assert client.get("/create").status_code == 403


def test_a_deactivated_account_is_out_at_once(client, known):
    client.force_login(known)
    assert client.get("/mine").status_code == 200
    User.objects.filter(pk=known.pk).update(is_active=False)
    assert client.get("/mine").status_code == 302
    assert log_in(client)["Location"] == "/accounts/inactive/"
    assert client.get("/mine").status_code == 302


def test_an_operator_vouches_for_an_address(client, settings, known):
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    assert log_in(client)["Location"] == "/accounts/confirm-email/"
    vouch_for_address(known)
    assert log_in(client)["Location"] == "/"


def test_names_never_show_the_address(db):
    user = make_user("ada")
    assert user.display_name == "Ada"
    user.name = ""
    assert user.display_name == "ada"
