"""The settings: those of email, and what Django needs besides."""

import os
from pathlib import Path


def SMTP_URL() -> str:  # noqa: N802 - a function, as Django's error reports show values
    """Return the relay's URL, which may have a password."""
    return os.environ.get("SMTP_URL", "console:")


EMAIL_BACKEND = "pykka_smtp.django.EmailBackend"
SMTP_WAIT = False  # a request is answered before its email is out
SMTP_OPTIONS = {"max_connections": 5}
DEFAULT_FROM_EMAIL = "Party <party@example.com>"

SECRET_KEY = os.environ.get("SECRET_KEY", "for this example only")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
INSTALLED_APPS = ["invitations"]
ROOT_URLCONF = "invitations.views"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", Path(__file__).with_name("db.sqlite3")),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
