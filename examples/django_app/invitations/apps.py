"""Connects the receivers once the models are there."""

from django.apps import AppConfig


class InvitationsConfig(AppConfig):
    """The application."""

    name = "invitations"

    def ready(self) -> None:
        """Import the receivers, which connects them."""
        from . import receivers  # noqa: F401
