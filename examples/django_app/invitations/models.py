"""What is stored of an invitation."""

from django.db import models


class Invitation(models.Model):
    """An invitation, and what became of its email."""

    address = models.CharField(max_length=254)
    state = models.CharField(max_length=400, default="on its way")

    def __str__(self) -> str:
        return f"{self.address}: {self.state}"
