"""The folder's database."""

import pytest

from tests.work.rig import TABLES


@pytest.fixture
def database_url(emptied):
    """The folder's database, empty, also of carriers."""
    return emptied("jobs", tables=TABLES)
