"""The format of ``--help``: it fits the terminal, and breaks no word."""

import argparse
import textwrap


class HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs to the width of the terminal; indented examples stay unchanged."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(_fill(paragraph, width, indent) for paragraph in paragraphs)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrap(text, width, "")


def _fill(paragraph: str, width: int, indent: str) -> str:
    if paragraph.startswith(" "):
        return textwrap.indent(paragraph, indent)
    return "\n".join(_wrap(paragraph, width, indent))


def _wrap(text: str, width: int, indent: str) -> list[str]:
    # Breaking at hyphens would break the names of options.
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
