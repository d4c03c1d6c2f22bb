"""All settings, read from the environment by `imagineer.env`. Every variable is explained in .env.example.

With no variable set, everything is embedded: SQLite, files under var/, django-q2 on the database, the starter model.
"""

import sys
from pathlib import Path
from typing import Any

import dj_database_url

from imagineer import env
from imagineer.secret import kept_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
env.load_dotenv(BASE_DIR / ".env")

TESTING = "pytest" in sys.modules
DEBUG = env.flag("DEBUG")
DATA_DIR = env.folder("IMAGINEER_DATA_DIR", BASE_DIR / "var")
DATA_DIR.mkdir(parents=True, exist_ok=True)
SECRET_KEY = env.text("SECRET_KEY") or kept_secret_key(DATA_DIR / "secret_key")

HOST = env.text("HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, minimum=1, maximum=65535)
BASE_URL = env.text("IMAGINEER_BASE_URL", f"http://{HOST}:{PORT}").rstrip("/")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", BASE_URL)

INSTALLED_APPS = [
    "imagineer.apps.ImagineerConfig",
    "imagineer.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.sitemaps",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "django_q",
    "imagekit",
    "ninja",
    "gallery",
    "training",
]

MIDDLEWARE = [
    "imagineer.middleware.RequestIdMiddleware",
    "imagineer.problems.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "imagineer.urls"
WSGI_APPLICATION = "imagineer.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "imagineer.context.site",
            ],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Database --------------------------------------------------------------------------------------------------------

DATABASES = {
    "default": dj_database_url.parse(
        env.text("DATABASE_URL", f"sqlite:///{DATA_DIR / 'imagineer.sqlite3'}"), conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # IMMEDIATE: a transaction takes the write lock when it begins, so that it waits its turn instead of
        # failing with "database is locked" when it upgrades from reading to writing.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: a commit that was reported survives a power cut, which NORMAL doesn't promise in WAL mode.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-20000; "
        "PRAGMA mmap_size=268435456; PRAGMA foreign_keys=ON;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60

REDIS_URL = env.text("REDIS_URL")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# Files -----------------------------------------------------------------------------------------------------------

MEDIA_ROOT = DATA_DIR / "media"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "imagineer.storage.DurableFileSystemStorage", "OPTIONS": {"location": MEDIA_ROOT}},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or TESTING
        else "imagineer.statics.StaticStorage"
    },
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG or TESTING
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 200
# Files go to the disk as they arrive, where the sweeper finds what a killed process left.
FILE_UPLOAD_HANDLERS = ["imagineer.uploads.BoundedUploadHandler"]
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "tmp"
FILE_UPLOAD_TEMP_DIR.mkdir(exist_ok=True)
_MIB = 1024 * 1024
UPLOAD_FILE_BYTES = env.integer("IMAGINEER_UPLOAD_FILE_MIB", 20, minimum=1) * _MIB
UPLOAD_REQUEST_BYTES = env.integer("IMAGINEER_UPLOAD_REQUEST_MIB", 200, minimum=1) * _MIB
UPLOAD_PIXELS = env.integer("IMAGINEER_UPLOAD_MEGAPIXELS", 40, minimum=1) * 1_000_000
UPLOAD_SIDE = env.integer("IMAGINEER_UPLOAD_SIDE", 16384, minimum=64, maximum=65535)
UPLOAD_FRAMES = env.integer("IMAGINEER_UPLOAD_FRAMES", 1000, minimum=1)
DECODERS = env.integer("IMAGINEER_DECODERS", 2, minimum=1, maximum=64)
DECODER_MEMORY = env.integer("IMAGINEER_DECODER_MIB", 1024, minimum=128) * _MIB
DECODER_SECONDS = env.integer("IMAGINEER_DECODER_SECONDS", 20, minimum=1)

# Accounts --------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "imagineer.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
ADMIN_EMAIL = env.text("IMAGINEER_ADMIN_EMAIL", "admin@example.org")
ADMIN_PASSWORD = env.text("IMAGINEER_ADMIN_PASSWORD")
SIGNUP_OPEN = env.flag("IMAGINEER_SIGNUP_OPEN")
SIGNUP_ALLOW = [entry.lower() for entry in env.words("IMAGINEER_SIGNUP_ALLOW")]

ACCOUNT_ADAPTER = "imagineer.accounts.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "imagineer.accounts.SocialAccountAdapter"
ACCOUNT_FORMS = {"signup": "imagineer.accounts.SignupForm"}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_DISPLAY = "imagineer.accounts.display_name"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Imagineer] "
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/5m/key"}
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_LOGIN_ON_GET = False
GOOGLE_CLIENT_ID = env.text("GOOGLE_CLIENT_ID")
SOCIALACCOUNT_PROVIDERS = {
    "google": {
        "SCOPE": ["profile", "email"],
        "AUTH_PARAMS": {"access_type": "online"},
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [{"client_id": GOOGLE_CLIENT_ID, "secret": env.text("GOOGLE_CLIENT_SECRET"), "key": ""}]
        if GOOGLE_CLIENT_ID
        else [],
    }
}

EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
EMAIL_PORT = env.integer("EMAIL_PORT", 587, minimum=1, maximum=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", default=True)
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "imagineer@localhost")
# Without a mail server nobody could ever follow a verification link.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if EMAIL_HOST else "none"

# Security --------------------------------------------------------------------------------------------------------

HTTPS = BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-imagineer" if HTTPS else "imagineer"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SECURE_SSL_REDIRECT = HTTPS and env.flag("IMAGINEER_SSL_REDIRECT")
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if env.flag("IMAGINEER_BEHIND_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1  # else all log-in attempts count for the proxy's address
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'", "https://accounts.google.com"] if GOOGLE_CLIENT_ID else ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

# Background work: see docs/adr/0001 for why the numbers of django-q2 are what they are --------------------------------

LEASE_SECONDS = env.integer("IMAGINEER_LEASE_SECONDS", 30, minimum=3)
CANARY_SECONDS = env.real("IMAGINEER_CANARY_SECONDS", 10, minimum=0.5)
SILENCE_SECONDS = env.real("IMAGINEER_SILENCE_SECONDS", 25, minimum=2)
SWEEP_SECONDS = env.real("IMAGINEER_SWEEP_SECONDS", 10, minimum=0.5)
STOP_SECONDS = env.real("IMAGINEER_STOP_SECONDS", 5, minimum=0)
DEFAULT_WORKERS = env.integer("IMAGINEER_DEFAULT_WORKERS", 2, minimum=1, maximum=64)
_DAY = 24 * 3600


def _cluster(workers: int, timeout: int) -> dict[str, int]:
    """A message's clock starts when it is fetched, so that it may wait for every task fetched before it."""
    waits = -(-(workers + 1) // workers) + 1
    return {"workers": workers, "queue_limit": workers, "timeout": timeout, "retry": timeout * waits + 60}


QUEUES = {
    "default": _cluster(DEFAULT_WORKERS, 2 * _DAY),
    "generation": _cluster(1, _DAY),
}
Q_CLUSTER = {
    "name": "imagineer",
    "cluster_name": "default",
    **QUEUES["default"],
    "bulk": 1,
    "poll": 0.1,
    "catch_up": False,
    "scheduler": False,
    "save_limit": -1,
    "ack_failures": True,
    "recycle": 100_000,
    "log_level": "WARNING",
    "ALT_CLUSTERS": {name: dict(options) for name, options in QUEUES.items() if name != "default"},
    **({"redis": REDIS_URL} if env.flag("IMAGINEER_REDIS_BROKER") else {"orm": "default"}),
}

# Generation ------------------------------------------------------------------------------------------------------

# What the apps do at each start of the site, after the migrations: see imagineer/preparation.py.
AT_START = ["gallery.services.registry.ensure_starter"]
STARTER_MODEL = BASE_DIR / "models" / "starter"
MODELS_DIR = env.folder("IMAGINEER_MODELS_DIR", DATA_DIR / "models")
GENERATIONS_PER_MINUTE = env.integer("IMAGINEER_GENERATIONS_PER_MINUTE", 10, minimum=0)
QUEUE_PER_USER = env.integer("IMAGINEER_QUEUE_PER_USER", 200, minimum=1)
ENGINE_IDLE_SECONDS = env.integer("IMAGINEER_ENGINE_IDLE_SECONDS", 600, minimum=1)
ENGINE_SILENCE_SECONDS = env.integer("IMAGINEER_ENGINE_SILENCE_SECONDS", 900, minimum=5)
ENGINE_THREADS = env.integer("IMAGINEER_ENGINE_THREADS", 0, minimum=0)

# The rest --------------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_I18N = False
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "imagineer.middleware.RequestIdFilter"}},
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} [{request_id}] {message}", "style": "{"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]},
    },
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "django.server": {"handlers": ["console"], "propagate": False},
        "httpx2": {"level": "WARNING"},
        "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    },
}
SILENCED_SYSTEM_CHECKS: list[str] = []
