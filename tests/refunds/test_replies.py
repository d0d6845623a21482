"""Small things that both providers rely on."""

import subprocess
import sys

import pytest

from worker.refunds.replies import Refused, header


def test_the_sdks_are_loaded_when_they_are_used():
    """Whoever refunds by hand pays neither their time nor their memory."""
    code = (
        "import sys, worker.refunds.square, worker.refunds.stripe;"
        "print(sorted({'square', 'stripe', 'httpx', 'requests'} & sys.modules.keys()))"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    "code", [None, 7, "", "two words", "x" * 65, "Überweisung", "a@b.example", "12"]
)
def test_a_code_is_a_word_or_it_is_none(code):
    """Anything else could be somebody's text."""
    assert str(Refused("Square", 400, code, {})) == "Square answered 400 (no code)"


def test_names_of_headers_have_no_case():
    """HTTP servers and clients write them as they like."""
    assert header({"RETRY-after": "7"}, "Retry-After") == "7"
    assert header({}, "Retry-After") == ""
