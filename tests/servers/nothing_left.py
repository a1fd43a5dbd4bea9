"""What an error may not leave behind: actors, permits, and what keeps the loop running."""

from pathlib import Path

from pykka import ActorRegistry

from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.actors.net.connection_limit import connection_limit


def nothing_left() -> bool:
    loop = event_loop()
    return not (
        ActorRegistry.get_all()
        or connection_limit._in_use
        or connection_limit._waiting
        or connection_limit._reclaimable
        or loop._alive
        or loop._watched
        or loop._standing
    )


def what_is_left() -> str:
    loop = event_loop()
    return (
        f"actors {ActorRegistry.get_all()}, permits {connection_limit._in_use},"
        f" waiting {list(connection_limit._waiting)}, spare {list(connection_limit._reclaimable)},"
        f" alive {loop._alive}, watched {loop._watched}, standing {loop._standing}"
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
