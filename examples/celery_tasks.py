"""A Celery task that sends an email; its result is the outcome.

Run it as ``python examples/celery_tasks.py [host [port]]``: it runs its task without a worker. With
a broker, start workers by ``celery -A celery_tasks worker``.
"""

import os
import sys

from celery import Celery

from pykka_smtp.celery import mail_task

server = sys.argv[1] if len(sys.argv) > 1 and __name__ == "__main__" else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 and __name__ == "__main__" else 25

app = Celery("shop", broker=os.environ.get("BROKER_URL", "memory://"))
# A deferred email is tried again after a minute, then after two, and so on.
send = mail_task(app, server, port, max_retries=5, retry_delay=60)

if __name__ == "__main__":
    app.conf.task_always_eager = True  # so that it needs no broker
    result = send.delay(
        sender="shop@example.com",
        recipients=["you@example.org", "Her <her@example.org>"],
        subject="Welcome",
        body="Good to have you.",
    )
    outcome = result.get()
    print(outcome["outcome"], outcome.get("detail", outcome["text"]))
    for recipient in outcome["recipients"]:
        print(recipient["address"], "accepted" if recipient["accepted"] else recipient["text"])
