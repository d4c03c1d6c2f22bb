"""The one door: local log-in, Google when it is configured, and who may open an account."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest

from imagineer.models import Event, User
from imagineer.roles import MEMBER


def may_sign_up(email: str) -> bool:
    """IMAGINEER_SIGNUP_OPEN lets everybody in; IMAGINEER_SIGNUP_ALLOW lists addresses and domains."""
    if settings.SIGNUP_OPEN:
        return True
    address = email.strip().lower()
    return address in settings.SIGNUP_ALLOW or address.partition("@")[2] in settings.SIGNUP_ALLOW


def form_is_open() -> bool:
    """A list is worth something only where addresses are verified: without a mail server it opens nothing."""
    verified = settings.ACCOUNT_EMAIL_VERIFICATION == "mandatory"
    return settings.SIGNUP_OPEN or (bool(settings.SIGNUP_ALLOW) and verified)


def display_name(user: User) -> str:
    return user.display_name


def welcome(user: User) -> None:
    """A new account is a member's."""
    user.groups.add(Group.objects.get(name=MEMBER))
    Event.record(user, "signed up", user)


def vouch_for_address(user: User) -> None:
    """For accounts that an operator makes: their address needs no proof by mail."""
    EmailAddress.objects.update_or_create(
        user=user, email=user.email.lower(), defaults={"verified": True, "primary": True}
    )


class SignupForm(AllauthSignupForm):
    def clean_email(self) -> str:
        email: str = super().clean_email()
        if not may_sign_up(email):
            raise ValidationError("This address is not on the list of those who may open an account here.")
        return email


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return form_is_open()

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        user = super().save_user(request, user, form, commit=commit)
        if commit:
            welcome(user)
        return user


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """What counts is an address that the provider vouches for."""
        vouched = [address.email for address in sociallogin.email_addresses if address.verified]
        return settings.SIGNUP_OPEN or any(may_sign_up(email) for email in vouched)

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        user = super().save_user(request, sociallogin, form)
        welcome(user)
        return user

    def get_app(self, request: HttpRequest, provider: str, client_id: str | None = None) -> SocialApp:
        """A provider that isn't configured has no pages."""
        try:
            return super().get_app(request, provider, client_id)
        except SocialApp.DoesNotExist as error:
            raise Http404 from error
