"""A FastAPI application that sends email, awaits outcomes, and loses none when it is stopped.

Run it as ``python examples/fastapi_app.py [host [port [http-port]]]``, open
http://127.0.0.1:8000/docs, and end it by ``kill``, or Ctrl-C.
"""

import sys
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException

from pykka_smtp import MailerRef, Outcome, SendFailure, SendMail
from pykka_smtp.starlette import mail_lifespan, mailer_of

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25
http_port = int(sys.argv[3]) if len(sys.argv) > 3 else 8000


async def note(_alias: str, outcome: Outcome, **_extra: object) -> None:
    """Runs on the application's loop: here it could use its database."""
    print("outcome:", outcome, flush=True)


app = FastAPI(lifespan=mail_lifespan(server, port, receivers=[note]))
MailerOf = Annotated[MailerRef, Depends(mailer_of)]


@app.post("/signup")
async def signup(address: str, mailer: MailerOf) -> str:
    """Sends, and does not wait."""
    mailer.tell(SendMail(sender="shop@example.com", recipients=address, subject="Welcome"))
    return "Thank you. We have sent you an email."


@app.post("/test")
async def test(address: str, mailer: MailerOf) -> str:
    """Waits for the outcome, while the application serves others."""
    mail = SendMail(sender="shop@example.com", recipients=address, subject="A test")
    outcome = await mailer.ask(mail, block=False)
    if isinstance(outcome, SendFailure):
        raise HTTPException(502, outcome.detail)
    return str(outcome.reply)


if __name__ == "__main__":
    uvicorn.run(app, port=http_port)
