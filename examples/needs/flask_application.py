"""A request of a Flask application sends an email, and does not wait."""

from flask import Flask

from pykka_smtp.flask import Mail

app = Flask("shop")
app.config.update(MAIL_SERVER="localhost", MAIL_DEFAULT_SENDER="shop@example.com")
# begin
mail = Mail(app)
# end


@app.post("/signup")
def signup() -> str:
    # begin
    mail.send(recipients="you@example.org", subject="Welcome", body="Good to have you.")
    # end
    return "We have sent you an email."


print(app.test_client().post("/signup").text)
