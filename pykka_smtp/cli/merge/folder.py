"""The folder that has what an email is made of."""

from pathlib import Path
from typing import Any

from ...signals.composing.from_html import FROM_HTML
from ...signals.templates.template import Template

SUBJECT, TEXT, HTML = "subject.txt", "body.txt", "body.html"


def template_in(folder: Path, **options: Any) -> Template:
    """Return the template that a folder has.

    Args:
        folder: has ``subject.txt``, ``body.txt``, ``body.html``, ``inline`` and ``attachments``.
        options: what else `SendMail` takes.

    Raises:
        ValueError: a template, or a file, is wrong; or none is there.
        ImportError: the extra is not installed.
        OSError: a file cannot be read.
    """
    subject, text, html = (_file(folder, name) for name in (SUBJECT, TEXT, HTML))
    if text is None and html is None:
        next(folder.iterdir(), None)  # says so if it is no folder
        raise ValueError(f"{folder} has neither {TEXT} nor {HTML}")
    return Template(
        subject=subject,
        body=FROM_HTML if text is None else text,
        html=html,
        inline={file.name: file for file in _files(folder / "inline")},
        attachments=_files(folder / "attachments"),
        css=None if html is None else "inline",
        folder=folder,
        **options,
    )


def _file(folder: Path, name: str) -> Path | None:
    path = folder / name
    return path if path.exists() else None


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder by name, without hidden ones such as ``.DS_Store``."""
    if not folder.exists():
        return []
    found = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    return sorted(found)
