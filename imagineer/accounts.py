"""The one door: local log-in, Google when it is configured, and who may open an account."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from imagineer.models import Event, User
from imagineer.roles import MEMBER


def may_sign_up(email: str) -> bool:
    """IMAGINEER_SIGNUP_OPEN lets everybody in; IMAGINEER_SIGNUP_ALLOW lists addresses and domains."""
    if settings.SIGNUP_OPEN:
        return True
    address = email.strip().lower()
    return address in settings.SIGNUP_ALLOW or address.partition("@")[2] in settings.SIGNUP_ALLOW


def display_name(user: User) -> str:
    return user.display_name


def welcome(user: User) -> None:
    """A new account is a member's."""
    user.groups.add(Group.objects.get(name=MEMBER))
    Event.record(user, "signed up", user)


class SignupForm(AllauthSignupForm):
    def clean_email(self) -> str:
        email: str = super().clean_email()
        if not may_sign_up(email):
            raise ValidationError("This address is not on the list of those who may open an account here.")
        return email


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.SIGNUP_OPEN or bool(settings.SIGNUP_ALLOW)

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        user = super().save_user(request, user, form, commit=commit)
        if commit:
            welcome(user)
        return user


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return may_sign_up(sociallogin.user.email or "")

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        user = super().save_user(request, sociallogin, form)
        welcome(user)
        return user
