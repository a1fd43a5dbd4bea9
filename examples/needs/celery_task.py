"""A Celery task sends an email, and its result is the outcome."""

from celery import Celery

from pykka_smtp.celery import mail_task

app = Celery("shop", broker="memory://")
app.conf.task_always_eager = True  # so that it runs here, without a worker

# begin
send = mail_task(app, "localhost", 25)
result = send.delay(sender="shop@example.com", recipients="you@example.org", body="Good.")
print(result.get()["outcome"])
# end
