"""The folder's database."""

import pytest


@pytest.fixture
def database_url(emptied):
    """The folder's database, empty."""
    return emptied("jobs")
