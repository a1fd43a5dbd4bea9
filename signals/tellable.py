"""The type of an actor that outcomes can be sent to."""

from typing import Any, Protocol


class Tellable(Protocol):
    """Anything that takes actor messages, such as a Pykka ``ActorRef``."""

    def tell(self, message: Any, /) -> object:
        """Put `message` into the actor's inbox, without waiting."""
        ...


def is_dead_actor_error(exc: BaseException, ref: Tellable) -> bool:
    """Whether `exc`, raised by ``ref.tell``, means that the actor has stopped.

    Pykka's ``ActorDeadError`` is recognized by name: the bus does not depend on Pykka.
    """
    return any(cls.__name__ == "ActorDeadError" for cls in type(exc).__mro__) or is_dead(ref)


def is_dead(ref: Tellable) -> bool:
    """Whether the actor has stopped, as far as its ref can tell. Never raises."""
    try:
        is_alive = getattr(ref, "is_alive", None)
        return callable(is_alive) and not is_alive()
    except Exception:
        # Unknown: then try ``tell``, which shows it.
        return False
