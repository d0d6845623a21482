"""Ids of commands begin with the time."""

import time
from uuid import RFC_4122

from messages import new_command_id


def test_a_command_id_begins_with_the_time():
    """Version 7 of RFC 9562: 48 bits of Unix time in ms, then version and variant."""
    before_ms = time.time_ns() // 1_000_000
    command_id = new_command_id()
    after_ms = time.time_ns() // 1_000_000

    assert before_ms <= command_id.int >> 80 <= after_ms
    assert (command_id.version, command_id.variant) == (7, RFC_4122)


def test_command_ids_differ_within_a_moment():
    """Ten thousand in one breath, none twice."""
    assert len({new_command_id() for _ in range(10_000)}) == 10_000
