"""Documents that are nearly right: strategies that break bytes and bend JSON, and how often.

A valid document gets past the first checks of its reader; one broken in a place or two gets further
into it than noise ever would. `FULFILLMENT_FUZZ_EXAMPLES=3000` tries as many of each, and others
each time; the suite tries a few, always the same.
"""

import os

import orjson
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.hostile import corpus

TOLD = 4_000
"""What may be said of a refused document, in characters, however large it was."""
_WANTED = os.environ.get("FULFILLMENT_FUZZ_EXAMPLES")


def few(examples=25, **other):
    """So many examples, the same each time; as many others as the environment wants."""
    return settings(
        max_examples=int(_WANTED or examples),
        derandomize=not _WANTED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **other,
    )


def few_calls(examples=15):
    """The same for what goes over HTTP: a failure is shown as it was met, since there is no time to
    find the smallest.
    """
    return few(examples, phases=[Phase.explicit, Phase.generate])


def told(error, *, without=None):
    """A refusal says something, which is no book, and nothing of this."""
    said = str(error)
    assert 0 < len(said) <= TOLD, len(said)
    assert without is None or without not in said


# Bytes


def flipped(raw, at, byte, _):
    return raw[:at] + bytes([raw[at] ^ byte]) + raw[at + 1 :]


def cut_out(raw, at, _, length):
    return raw[:at] + raw[at + length :]


def cut_off(raw, at, *_):
    return raw[:at]


def doubled(raw, at, _, length):
    return raw[: at + length] + raw[at:]


def spliced(raw, at, byte, _):
    return raw[:at] + SPLICES[byte % len(SPLICES)] + raw[at:]


def put_over(raw, at, byte, _):
    splice = SPLICES[byte % len(SPLICES)]
    return raw[:at] + splice + raw[at + len(splice) :]


SPLICES = [
    b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b'"',
    b"\\", b"\r\n", b"\n", b"\t", b",", b";", b":", b"=", b"{", b"}", b"[", b"]", b"null",
    b"true", b"NaN",
    b"-", b"0", b"9" * 400, b"1e400", b"[" * 3_000, b"\x1b[31m", "é".encode(), "\u2028".encode(),
    "\U0001f381".encode(), b"x" * 3_000, b'""', b"%00", b"%ff", b"@", b"/", b" " * 50, b"\x7f",
]  # fmt: skip
_CHANGES = (flipped, cut_out, cut_off, doubled, spliced, put_over)


@st.composite
def broken(draw, valid):
    """Bytes of one of these documents with one to three changes: bytes that are flipped, cut,
    doubled, or others that come in between.
    """
    raw = draw(valid)
    for _ in range(draw(st.integers(1, 3))):
        if raw:
            change = draw(st.sampled_from(_CHANGES))
            at, byte = draw(st.integers(0, len(raw) - 1)), draw(st.integers(1, 255))
            raw = change(raw, at, byte, draw(st.integers(1, 40)))
    return raw


# JSON


def fragments(*texts):
    """JSON that Python holds in no value, valid or not."""
    return [orjson.Fragment(text) for text in texts]


HOSTILE = [
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, -(2**63), 0.5, -0.0, 1e308, "", " ", "0", "-1",
    "x" * 70_000, "\0", "a\r\nb", "null", "\u202e", "\U0001f381", [], [[]], [None], {},
    {"": None}, [{}], {"id": 1}, ["x"], [1], "1970-01-01", "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59-23:59",
    "2026-03-01T12:00:00", "2026-03-01T12:00:00+15:59:59.999999", "EUR", "eur", "XXX", "\u0663",
    "1_000",
    "1e5", "1e1000000", "1e999999999999999999", "-0", "+1", "1.", ".5", "Infinity", "NaN", "sNaN",
    "0x1", "00000000-0000-0000-0000-000000000000", "http://[", "http://x", "a@b", "\u017f",
    "\u0130", "K" * 65,
    *corpus.NOT_COUNTABLE.values(),
    *(one.text for one in (corpus.STORED | corpus.REFUSED).values()),
    *fragments(
        b"NaN", b"-Infinity", b"1e400", b"-0", b"1.0", b"1e2", b"9" * 30, b"9" * 5_000,
        b'"\\ud800"', b'"\\u0000"', b"[" * 2_000 + b"]" * 2_000, b"[" * 100_000, b'{"a":1,"a":2}',
        b"\xff", b"",
        b"1" + b"0" * 308 + b".5", b'{"__proto__":null}', b"18446744073709551616",
    ),
]  # fmt: skip
values = st.sampled_from(HOSTILE) | st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def bent(draw, documents):
    """The JSON of one of these values with one to three things in it that are others: what nobody
    expects there, nothing, twice the same, or what stands elsewhere in it.
    """
    document = _copied(draw(documents))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(_paths(document))
        document = _changed(draw, document, paths, draw(st.sampled_from(paths)))
    return orjson.dumps(document)


def _changed(draw, document, paths, path):
    if not path:
        return _copied(draw(values))
    at, key = _at(document, path[:-1]), path[-1]
    match draw(st.sampled_from(["value", "value", "value", "gone", "more", "other"])):
        case "value":
            at[key] = _copied(draw(values))
        case "gone":
            del at[key]
        case "more" if isinstance(at, list):
            at.extend(_copied(at[key]) for _ in range(draw(st.sampled_from([1, 2, 60]))))
        case "more":
            at[draw(st.text(max_size=3) | st.sampled_from(["id", "x" * 3_000, "kind"]))] = 1
        case "other":
            at[key] = _copied(_at(document, draw(st.sampled_from(paths))))
    return document


def _paths(value, path=()):
    """Where there is anything in it, itself included."""
    yield path
    children = value.items() if isinstance(value, dict) else ()
    for key, child in enumerate(value) if isinstance(value, list) else children:
        yield from _paths(child, (*path, key))


def _at(value, path):
    for key in path:
        value = value[key]
    return value


def _copied(value):
    """A copy to be changed; a fragment cannot be copied, and need not."""
    match value:
        case dict():
            return {key: _copied(one) for key, one in value.items()}
        case list():
            return [_copied(one) for one in value]
        case _:
            return value


def documents(*found):
    """JSON of these values, broken or bent; now and then noise."""
    raw = st.sampled_from([orjson.dumps(one) for one in found])
    return bent(st.sampled_from(found)) | broken(raw) | st.binary(max_size=60)
