"""A Django project that invites people by email, and stores what became of each invitation.

::

    python manage.py migrate --run-syncdb
    python manage.py runserver
    curl -d address=you@example.org http://127.0.0.1:8000/
    curl http://127.0.0.1:8000/

The emails are printed. With SMTP_URL=smtp://localhost:25 in the environment, they are sent.
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
