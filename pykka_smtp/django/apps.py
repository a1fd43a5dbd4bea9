"""The application of a project that hands emails over: its migration makes the outbox's tables."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Django has no types

    class AppConfig:
        """The base class of applications."""

else:
    from django.apps import AppConfig


class PykkaSmtpConfig(AppConfig):
    """``"pykka_smtp.django"`` in INSTALLED_APPS."""

    name = "pykka_smtp.django"
    label = "pykka_smtp"
    verbose_name = "Emails (pykka-smtp)"
