"""The `backups` of a `Mailer`: relay URLs, which may have passwords in them, and their weights."""

from typing import cast

from ..smtp.secret import Secret
from ..smtp.shown import shown

MAX_BACKUPS = 100
MAX_WEIGHT = 1_000_000


def check_backups(backups: object) -> list[tuple[Secret, float | None]]:
    """Return pairs of URL and weight.

    Args:
        backups: as `hide_backups` returned them.

    Raises:
        ValueError: there are too many, or a weight is out of range.
        TypeError: they are something else.
    """
    if not isinstance(backups, tuple):
        raise TypeError("backups: needs relay URLs, or pairs of URL and weight")
    if len(cast("tuple[object, ...]", backups)) > MAX_BACKUPS:
        raise ValueError(f"backups: more than {MAX_BACKUPS}")
    return [_check_backup(backup) for backup in cast("tuple[object, ...]", backups)]


def _check_backup(backup: object) -> tuple[Secret, float | None]:
    url, weight = backup, None
    if isinstance(backup, tuple) and len(cast("tuple[object, ...]", backup)) == 2:
        url, weight = cast("tuple[object, object]", backup)
    if not isinstance(url, Secret):
        raise TypeError(f"backups: needs relay URLs, not {type(url).__name__}")
    if weight is None:
        return url, None
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        kind = "str" if isinstance(weight, Secret) else type(weight).__name__
        raise TypeError(f"backups: needs a number as weight, not {kind}")
    if not 0 < weight < MAX_WEIGHT:
        raise ValueError(f"backups: needs a weight above 0, not {shown(weight)}")
    return url, float(weight)
