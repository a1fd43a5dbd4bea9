"""A Flask application that sends email without making a request wait, and hears what became of it.

Run it as ``python examples/flask_app.py [host [port]]``: it makes one request to itself. Or serve
it, by ``flask --app examples/flask_app.py run``, or by gunicorn.
"""

import sys

from flask import Flask, current_app, request

from pykka_smtp import SendFailure, SendSuccess
from pykka_smtp.flask import Mail

mail = Mail()


def create_app(server: str = "localhost", port: int = 25) -> Flask:
    app = Flask("shop")
    app.config.update(
        MAIL_SERVER=server,
        MAIL_PORT=port,
        MAIL_DEFAULT_SENDER=("The Shop", "shop@example.com"),
    )
    mail.init_app(app)

    @app.post("/signup")
    def signup() -> str:
        mail.send(recipients=request.form["address"], subject="Welcome", body="Good to have you.")
        return "Thank you. We have sent you an email."

    @mail.on_success(app)
    def sent(_alias: str, outcome: SendSuccess, **_extra: object) -> None:
        print(current_app.name, "has sent it:", outcome.reply)

    @mail.on_failure(app)
    def failed(_alias: str, outcome: SendFailure, **_extra: object) -> None:
        print(current_app.name, "has not sent it:", outcome.detail)

    return app


if __name__ == "__main__":
    host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
    app = create_app(host, int(sys.argv[2]) if len(sys.argv) > 2 else 25)
    print(app.test_client().post("/signup", data={"address": "you@example.org"}).text)
    # The program ends when the email is out.
