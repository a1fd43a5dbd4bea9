"""What is used of Django. Without Django, to import this is an error of one line."""

try:
    # fmt: off
    from django.conf import settings  # pyright: ignore[reportMissingTypeStubs]
    from django.core.mail.backends.base import BaseEmailBackend  # pyright: ignore[reportMissingTypeStubs]
    # fmt: on
except ModuleNotFoundError as _error:
    if str(_error.name).partition(".")[0] != "django":  # it is there, and lacks something itself
        raise
    raise ImportError("pykka_smtp.django needs Django: pip install 'pykka-smtp[django]'") from None

__all__ = ["BaseEmailBackend", "settings"]
