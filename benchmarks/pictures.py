"""Results as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import (
    attachment,
    big_file,
    comparison,
    far_away,
    latency,
    overload,
    reuse,
    round_trips,
    throughput,
    tls_speed,
)
from .result import Result

_OURS = "#1f6f8b"
_OTHERS = "#b8b8b0"
_ROUND = "#303030"
"""The colour of the dots that show each round."""


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draw what there is to draw.

    Returns:
        The pictures.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    done = []
    for result in results:
        panels = _PANELS.get(result.name)
        if panels is None or not result.rows:
            continue
        height = 1.2 + 0.34 * len(result.rows)
        figure, axes = plt.subplots(
            1, len(panels), figsize=(9.5, height), sharey=True, squeeze=False
        )
        for axis, (figure_of, samples_of, title) in zip(axes[0], panels, strict=True):
            _bars(axis, result, figure_of, samples_of, title)
        figure.suptitle(result.title, fontsize=9)
        figure.tight_layout()
        path = folder / f"{result.name}.png"
        figure.savefig(path, dpi=110)
        plt.close(figure)
        done.append(path)
    return done


def _bars(axis: Any, result: Result, key: str, samples: str, title: str) -> None:
    """Draw a bar for each row, its figure beside it, and a dot for each round."""
    rows = list(reversed(result.rows))
    names = [row.name for row in rows]
    values = [row.figures[key] for row in rows]
    colours = [_OURS if "pykka-smtp" in name else _OTHERS for name in names]
    axis.barh(names, values, color=colours, height=0.7)
    most = max(values)
    for index, (row, value) in enumerate(zip(rows, values, strict=True)):
        rounds = row.samples[samples]
        axis.plot(rounds, [index] * len(rounds), ".", color=_ROUND, markersize=3)
        most = max(most, *rounds)
        digits = 0 if value >= 100 else 1 if value >= 2 else 2
        right = max(value, *rounds)
        axis.annotate(
            f" {value:,.{digits}f}", (right, index), va="center", fontsize=8, color=_ROUND
        )
    axis.set_xlim(0, most * 1.18)
    axis.set_title(title, fontsize=9)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


_RATE_AND_CPU = (
    ("mails_per_second", "mails_per_second", "emails per second"),
    ("cpu", "cpu_ms_per_mail", "processor time for each email, ms"),
)
_PANELS: dict[str, tuple[tuple[str, str, str], ...]] = {
    throughput.NAME: _RATE_AND_CPU,
    throughput.COMPOSED: _RATE_AND_CPU,
    comparison.NAME: _RATE_AND_CPU,
    reuse.NAME: _RATE_AND_CPU,
    reuse.COMPOSED: _RATE_AND_CPU,
    tls_speed.NAME: _RATE_AND_CPU,
    big_file.NAME: (
        ("extra", "extra_megabytes", "extra peak memory, MB"),
        ("speed", "megabytes_per_second", "MB a second"),
    ),
    round_trips.NAME: (
        ("ms_per_mail", "ms_per_mail", "ms for each email"),
        ("in_all", "in_all", "round trips after connect, with QUIT"),
    ),
    far_away.NAME: (
        ("rate", "rate", "emails per second on each connection"),
        ("turns", "turns", "round trips for each email"),
    ),
    latency.NAME: (
        ("mails_per_second", "mails_per_second", "emails per second"),
        ("cpu_ms_per_mail", "cpu_ms_per_mail", "processor time for each email, ms"),
        ("kib_each", "kib_each", "extra peak KiB for each"),
    ),
    attachment.NAME: (
        ("megabytes_per_second", "megabytes_per_second", "MB a second"),
        ("extra", "extra", "extra peak memory for each, MB"),
    ),
    overload.NAME: (
        ("taken", "taken", "emails per second that were taken"),
        ("mean_wait", "mean_wait", "mean wait, s"),
        ("longest_wait", "longest_wait", "longest wait, s"),
    ),
}
"""For each benchmark its panels: a figure, the samples that it is the median of, and a title."""
