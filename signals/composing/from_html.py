"""`FROM_HTML`: the text of an email is made of its HTML."""

import enum


class FromHtml(enum.Enum):
    """The type of `FROM_HTML`."""

    FROM_HTML = "FROM_HTML"

    def __repr__(self) -> str:
        return "FROM_HTML"


FROM_HTML = FromHtml.FROM_HTML
"""``SendMail(body=FROM_HTML, html=…)`` makes the text from the HTML, with its links."""
