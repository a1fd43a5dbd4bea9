"""Results as text, and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .result import Result, Row, Target


def text_of(result: Result) -> str:
    """Return a result as a table, its targets, and notes."""
    lines = [result.title, ""]
    lines += _table(result)
    if result.targets:
        lines += ["", *map(_target, result.targets)]
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)


def _table(result: Result) -> list[str]:
    head = ["", *[column.title for column in result.columns]]
    cells = [head, *[_cells(result, row) for row in result.rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    lines = []
    for name, *figures in cells:
        right = [f"{cell:>{width}}" for cell, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:{widths[0]}}", *right]).rstrip())
    return lines


def _cells(result: Result, row: Row) -> list[str]:
    return [
        row.name,
        *[
            f"{row.figures[column.key]:,.{column.digits}f}" if column.key in row.figures else "-"
            for column in result.columns
        ],
    ]


def _target(target: Target) -> str:
    mark = {True: "met", False: "MISSED", None: "not measured"}[target.met]
    value = "" if target.value is None else f" {target.value:.4g} {target.unit}".rstrip()
    wanted = "at least" if target.at_least else "at most"
    bound = f"{target.bound:g} {target.unit}".rstrip()
    return f"{mark:>12}: {target.text}:{value} (wanted: {wanted} {bound})"


def summary_of(results: Sequence[Result]) -> str:
    """Return one line that counts the targets."""
    targets = [target for result in results for target in result.targets]
    met = sum(target.met is True for target in targets)
    missed = sum(target.met is False for target in targets)
    return f"{len(targets)} targets: {met} met, {missed} missed, {len(targets) - met - missed} open"


def write_json(path: Path, machine: dict[str, Any], results: Sequence[Result]) -> None:
    """Write everything, each round's figures included."""
    whole = {"machine": machine, "results": [result.as_dict() for result in results]}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_markdown(path: Path, machine: dict[str, str], results: Sequence[Result]) -> None:
    """Write the tables as the documentation has them."""
    facts = "; ".join(f"{name} {fact}" for name, fact in machine.items())
    text = "\n".join([facts, "", *[line for result in results for line in _markdown(result)]])
    path.write_text(text, encoding="utf-8")


def _markdown(result: Result) -> list[str]:
    """Return a result as Markdown: its table, and one of its targets."""
    columns = result.columns
    lines = [
        f"### {result.title}",
        "",
        f"| | {' | '.join(column.title for column in columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    lines += [f"| {' | '.join(_cells(result, row))} |" for row in result.rows]
    if result.targets:
        lines += ["", "| what | measured | wanted |", "|---|---|---|"]
        lines += [_target_in_markdown(target) for target in result.targets]
    notes = [f"* {note}" for note in result.notes]
    return [*lines, "", *notes, ""] if notes else [*lines, ""]


def _target_in_markdown(target: Target) -> str:
    value = "-" if target.value is None else f"{target.value:.4g} {target.unit}".rstrip()
    mark = {True: "", False: " (missed)", None: ""}[target.met]
    wanted = "at least" if target.at_least else "at most"
    return (
        f"| {target.text} | {value}{mark} | {wanted} {target.bound:g} {target.unit}".rstrip() + " |"
    )
