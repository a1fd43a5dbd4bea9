"""The type of an actor that outcomes can be sent to."""

from typing import Any, Protocol


class Tellable(Protocol):
    """Anything that takes actor messages, such as a Pykka ``ActorRef``."""

    def tell(self, message: Any, /) -> object:
        """Put `message` into the actor's inbox, without waiting."""
        ...
