"""For Django projects: an email backend, and what receivers of outcomes need there.

::

    EMAIL_BACKEND = "pykka_smtp.django.EmailBackend"

Never imported by the rest of pykka-smtp, which needs no Django. Here, ``import django`` is Django:
imports of our own are relative.
"""

from .backend import EmailBackend
from .mailers import stop_mailers
from .receivers import closing_connections

__all__ = ["EmailBackend", "closing_connections", "stop_mailers"]
