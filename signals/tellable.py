"""What an outcome can be told to."""

from typing import Any, Protocol


class Tellable(Protocol):
    """Whatever takes messages, such as a Pykka ``ActorRef``."""

    def tell(self, message: Any, /) -> object:
        """Put `message` into the inbox, without waiting for anything."""
        ...
