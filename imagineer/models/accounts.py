import hashlib
import secrets
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from imagineer.roles import OPERATOR


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(
        default=True, help_text="Clear this instead of deleting an account: its pictures keep their owner."
    )
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_case_insensitive")]
        ordering = ["email"]

    def __str__(self) -> str:
        return self.email

    @property
    def display_name(self) -> str:
        """What others see: never the address, only the part before its @."""
        return self.name or self.email.partition("@")[0]

    @cached_property
    def is_operator(self) -> bool:
        """Read from the database once a request: a role taken away is gone with the next one."""
        if not self.is_active:
            return False
        return self.is_superuser or self.groups.filter(name=OPERATOR).exists()

    @property
    def is_staff(self) -> bool:
        return self.is_operator


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self) -> "ApiTokenQuerySet":
        unexpired = models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now())
        return self.filter(unexpired, revoked_at=None, user__is_active=True)


class ApiToken(models.Model):
    """A key to the API. Only its SHA-256 is kept: 256 random bits need no slow hash."""

    class Scope(models.TextChoices):
        READ = "read", "read what the user sees"
        WRITE = "write", "upload, edit, organise"
        GENERATE = "generate", "generate pictures"
        OPERATE = "operate", "what operators may do"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[Any] = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def clean(self) -> None:
        unknown = set(self.scopes) - set(self.Scope.values)
        if unknown or not self.scopes:
            raise ValidationError({"scopes": f"Choose from {', '.join(self.Scope.values)}."})

    @classmethod
    def issue(
        cls, user: User, *, name: str, scopes: list[str] | None = None, days: int | None = None
    ) -> tuple["ApiToken", str]:
        """Makes a token; the second value is its text, which can't be had again."""
        secret = f"img_{secrets.token_urlsafe(32)}"
        token = cls(
            user=user,
            name=name,
            prefix=secret[:12],
            digest=cls.digest_of(secret),
            scopes=list(cls.Scope.values) if scopes is None else scopes,
            expires_at=timezone.now() + timedelta(days=days) if days else None,
        )
        token.full_clean()
        token.save()
        return token, secret

    @staticmethod
    def digest_of(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()

    def touch(self, now: datetime) -> None:
        """Notes the use, at most once a minute: a busy client must not cost a write per request."""
        stale = models.Q(last_used_at=None) | models.Q(last_used_at__lt=now - timedelta(minutes=1))
        ApiToken.objects.filter(stale, pk=self.pk).update(last_used_at=now)

    def revoke(self) -> bool:
        return bool(ApiToken.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now()))
