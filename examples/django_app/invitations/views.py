"""Invites by POST, and shows what became of all invitations by GET."""

from functools import partial

from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from .models import Invitation


@csrf_exempt  # so that curl will do
def invitations(request: HttpRequest) -> HttpResponse:
    """Invite somebody, or list all who were."""
    if request.method == "POST":
        with transaction.atomic():
            invitation = Invitation.objects.create(address=request.POST["address"])
            # Once the invitation is stored: nobody is invited by what is rolled back, and the
            # receiver finds what it is to update.
            transaction.on_commit(partial(invite, invitation))
        return HttpResponse("invited\n", content_type="text/plain", status=202)
    lines = [f"{one}\n" for one in Invitation.objects.order_by("pk")]
    return HttpResponse("".join(lines), content_type="text/plain")


def invite(invitation: Invitation) -> None:
    """Hand the email over; it does not wait."""
    message = EmailMultiAlternatives(
        "Party",
        "Do come.",
        to=[invitation.address],
        headers={"X-Invitation": str(invitation.pk)},
    )
    message.attach_alternative("<p>Do <b>come</b>.</p>", "text/html")
    message.send()


urlpatterns = [path("", invitations)]
