"""What is used of Django. Without Django, to import this is an error of one line."""

try:
    # fmt: off
    from django.conf import settings  # pyright: ignore[reportMissingTypeStubs]
    from django.core.mail.backends.base import BaseEmailBackend  # pyright: ignore[reportMissingTypeStubs]
    # fmt: on
except ModuleNotFoundError as error:
    if error.name != "django":  # Django is there, and lacks something itself
        raise
    message = "pykka_smtp.django needs Django: pip install 'pykka-smtp[django]'"
    raise ImportError(message) from None

__all__ = ["BaseEmailBackend", "settings"]
