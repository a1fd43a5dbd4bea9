"""Texts with values put in, by jinja2.

The library is an extra (``pip install 'pykka-smtp[templates]'``) and is imported when it is needed.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from ...smtp.words.shown import shown
from .template_error import TemplateError

if TYPE_CHECKING:
    import jinja2

MOST_READ = 1_048_576
"""Octets of the file of a template."""
_TAGS = ("{{", "{%", "{#")
_BREAK = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def one_line(text: str) -> str:
    """Return a text with a space instead of line breaks and tabs, and the spaces around them."""
    lines = [line.strip() for line in _BREAK.split(text)]
    return " ".join([line for line in lines if line])


class Source:
    """The text of a template, and where it is from.

    Args:
        name: what errors call it if it is no file.
        given: the text; or the path of a file in UTF-8, which is read now.
        folder: whose files it may include; default: the folder of its own file.

    Raises:
        TypeError: `given` is neither.
        TemplateError: the file is not UTF-8, or too large.
        OSError: it cannot be read.
    """

    def __init__(self, name: str, given: object, folder: Path | None) -> None:
        self.name: str = name
        self.folder: Path | None = folder
        if isinstance(given, str):
            self.text: str = str.__str__(given)
        elif isinstance(given, os.PathLike):
            path = Path(cast("os.PathLike[str]", given))
            self.name = path.name
            self.folder = path.absolute().parent if folder is None else folder
            self.text = _read(path, self.name)
        else:
            raise TypeError(f"{name}: needs a str or a path, not {type(given).__name__}")

    @property
    def is_constant(self) -> bool:
        """Whether it has no place for a value."""
        return not any(tag in self.text for tag in _TAGS)


class Text:
    """A template that has been compiled. Any number of threads may use it.

    Args:
        source: its text.
        is_html: whether values are escaped for HTML.
        finalize: gets each value before it is put in; or None.

    Raises:
        TemplateError: its syntax is wrong.
        ImportError: jinja2 is not installed.
    """

    def __init__(
        self, source: Source, *, is_html: bool, finalize: Callable[[Any], Any] | None = None
    ) -> None:
        self.source: Source = source
        environment = environment_for(source.folder, is_html=is_html, finalize=finalize)
        # Its own errors have a type of its own, and this one does not last.
        import jinja2

        try:
            code = environment.compile(source.text, source.name, source.name)
        except jinja2.TemplateSyntaxError as error:
            name = source.name if error.name is None else Path(error.name).name
            raise TemplateError(name, error.lineno, _one_line(error)) from None
        # A plain dict, where the library has a `ChainMap`: it copies them for each email.
        self._template = jinja2.Template.from_code(environment, code, dict(environment.globals))

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text with values.

        Args:
            values: the values by name.

        Raises:
            TemplateError: one is missing, or cannot be used as it is.
        """
        try:
            return self._template.render(values)
        except Exception as error:  # whatever the values' own methods raise
            raise _described(error, self.source.name) from None

    def try_to_render(self, values: Mapping[str, Any]) -> str | None:
        """Return the text with values; None if something is wrong with them.

        Args:
            values: the values by name.
        """
        try:
            return self._template.render(values)
        except Exception:  # `render` says what it is
            return None


def environment_for(
    folder: Path | None, *, is_html: bool, finalize: Callable[[Any], Any] | None = None
) -> "jinja2.Environment":
    """Return what compiles templates; what they reach is their values, and files of `folder`.

    Args:
        folder: whose files may be included, or None.
        is_html: whether values are escaped for HTML.
        finalize: gets each value before it is put in; or None.

    Raises:
        ImportError: jinja2 is not installed.
    """
    try:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise ImportError(
            "a Template needs jinja2: pip install 'pykka-smtp[templates]'", name="jinja2"
        ) from error
    return ImmutableSandboxedEnvironment(
        autoescape=is_html,
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        trim_blocks=True,  # a line with nothing but {% if … %} is no line of the email
        lstrip_blocks=True,
        auto_reload=False,
        loader=jinja2.FunctionLoader(_Files(folder)),
    )


class _Files:
    """Reads what a template includes or extends."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, name: str) -> tuple[str, str, None]:
        if self._folder is None:
            raise TemplateError(name, None, "only a template with a folder has others")
        folder = self._folder.resolve()
        path = (folder / name).resolve()
        if "\0" in name or not path.is_relative_to(folder):  # also by a link
            raise TemplateError(name, None, f"is not in the folder {shown(str(folder))}")
        try:
            return _read(path, name), name, None
        except FileNotFoundError:
            from jinja2 import TemplateNotFound

            raise TemplateNotFound(name) from None  # which {% include … ignore missing %} ignores
        except OSError as error:
            raise TemplateError(name, None, f"cannot be read: {error.strerror}") from None


def _read(path: Path, name: str) -> str:
    with path.open("rb") as file:
        octets = file.read(MOST_READ + 1)
    if len(octets) > MOST_READ:
        raise TemplateError(name, None, f"is larger than {MOST_READ} octets")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise TemplateError(name, line, "is not UTF-8") from None


def _described(error: Exception, name: str) -> TemplateError:
    """Return an error of a template, with the line in which it was raised."""
    import jinja2

    if isinstance(error, jinja2.TemplateSyntaxError):  # of what it includes
        return TemplateError(error.name or name, error.lineno, _one_line(error))
    name, line = _place(error.__traceback__, name)
    if isinstance(error, TemplateError):  # of what it includes, which was not read
        return TemplateError(name, line, f"includes {error}")
    why = _one_line(error)
    if isinstance(error, jinja2.TemplateNotFound):
        why = f"there is no file {shown(error.name)}"
    elif not isinstance(error, jinja2.TemplateError):
        why = f"{type(error).__name__}: {why}"
    return TemplateError(name, line, why)


def _place(traceback: TracebackType | None, name: str) -> tuple[str, int | None]:
    """Return the innermost template and line; jinja2 has put them into the traceback."""
    line = None
    while traceback is not None:
        found = traceback.tb_frame.f_globals.get("__jinja_template__")
        if found is not None:
            name, line = found.filename or name, found.get_corresponding_lineno(traceback.tb_lineno)
        elif "__jinja_exception__" in traceback.tb_frame.f_globals:
            name, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return name, line


def _one_line(error: Exception) -> str:
    message = getattr(error, "message", None) or str(error)
    return " ".join(str(message).split())
