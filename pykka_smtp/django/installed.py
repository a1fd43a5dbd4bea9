"""What is used of Django. Without Django, to import this is an error of one line."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Django has no types; to type checkers, it need not even be installed
    settings: Any

    class BaseEmailBackend:
        """The base class of Django's backends."""

        def __init__(self, **options: Any) -> None: ...
        def open(self) -> bool | None:
            """Open a connection."""

        def close(self) -> None:
            """Close it."""

        def send_messages(self, email_messages: Iterable[Any]) -> int:
            """Send messages; return how many were sent."""
            ...

        def __enter__(self) -> Any: ...
        def __exit__(self, *raised: object) -> None: ...

else:
    try:
        from django.conf import settings
        from django.core.mail.backends.base import BaseEmailBackend
    except ModuleNotFoundError as _error:
        if str(_error.name).partition(".")[0] != "django":  # it is there, and lacks something
            raise
        raise ImportError(
            "pykka_smtp.django needs Django: pip install 'pykka-smtp[django]'"
        ) from None

__all__ = ["BaseEmailBackend", "settings"]
