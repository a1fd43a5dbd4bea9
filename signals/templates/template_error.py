"""What is wrong with a template, or with the values that it gets."""


class TemplateError(ValueError):
    """A template cannot be read, or has no text for these values.

    Attributes:
        template: which one: ``"subject"``, ``"body"`` or ``"html"``, or the name of its file.
        line: the number of its line, from 1 on; None if it is not known.
    """

    def __init__(self, template: str, line: int | None, why: str) -> None:
        super().__init__(template, line, why)
        self.template: str = template
        self.line: int | None = line
        self._why = why

    def __str__(self) -> str:
        where = self.template if self.line is None else f"{self.template}, line {self.line}"
        return f"{where}: {self._why}"
