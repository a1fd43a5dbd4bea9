"""Make the tables of an outbox. They stay if it is undone: emails may wait in them."""

from typing import Any

from django.db import migrations

from ...actors.outbox.handover import outbox_schema


def make_tables(_apps: Any, schema_editor: Any) -> None:
    """Make the tables where the database is SQLite."""
    if schema_editor.connection.vendor == "sqlite":
        for statement in outbox_schema().split(";\n"):
            if statement:
                schema_editor.execute(statement)


class Migration(migrations.Migration):  # type: ignore[misc]
    """The first."""

    initial = True
    dependencies = ()
    operations = (migrations.RunPython(make_tables, migrations.RunPython.noop),)
