"""What tests with Django need: settings, backends for a server, and Django itself.

A module that imports this is skipped without Django, and fails where nothing may be skipped.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.require import VARIABLE

try:
    import django
except ModuleNotFoundError:
    if os.environ.get(VARIABLE) == "1":
        raise
    pytest.skip("Django is not installed", allow_module_level=True)

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.test import override_settings

from pykka_smtp.django import EmailBackend, stop_mailers

__all__ = [
    "DJANGO",
    "HAS_MAILERS",
    "OF_THE_PROJECT",
    "ROOT",
    "Backend",
    "EmailBackend",
    "EmailMessage",
    "EmailMultiAlternatives",
    "given",
    "message",
    "settings",
    "stop_mailers",
]

ROOT = Path(__file__).parents[2]
DJANGO: tuple[int, int] = django.VERSION[:2]
HAS_MAILERS = DJANGO >= (6, 1)
OF_THE_PROJECT = ("-W", "ignore:The EMAIL_", "-W", "ignore:get_connection", "-W", "ignore:MAILERS")

Backend = Callable[..., Any]

if not settings.configured:
    settings.configure(
        SECRET_KEY="none",
        DATABASES={},
        DEFAULT_FROM_EMAIL="me@a.test",
        LOGGING_CONFIG=None,  # that of the tests stays
        USE_I18N=False,
    )
    django.setup()


@contextlib.contextmanager
def given(**values: Any) -> Iterator[None]:
    """Override settings. That some of them are deprecated is told whoever defines them."""
    override = override_settings(**values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        override.enable()
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            override.disable()


def message(to: str = "you@b.test", **more: Any) -> Any:
    """Make a message of Django."""
    fields: dict[str, Any] = {
        "subject": "Hello",
        "body": "1 2 3",
        "from_email": "me@a.test",
        "to": [to],
    }
    return EmailMessage(**fields | more)
