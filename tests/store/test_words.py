"""Words that orders are found by: folding, beginnings, bounds; `test_lists` has the database."""

import re
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from messages import Customer
from tests import factories as make
from worker.store.words import (
    MAX_LENGTH,
    MAX_SEARCHED,
    MAX_WORDS,
    fold,
    of_order,
    of_texts,
    searched,
)

EVERY_CHARACTER = "".join(
    chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000
)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Zoé", "zoe"),
        ("Zoe\u0301", "zoe"),
        ("Łukasz Đặng", "lukasz dang"),
        ("SØREN Ærø", "soren aero"),
        ("Straße", "strasse"),
        ("STRASSE", "strasse"),
        ("I\u011fd\u0131r", "igdir"),
        ("İzmir", "izmir"),
        ("Œuvre Þór Ħal", "oeuvre thor hal"),
        ("\uff26\uff35\uff2c\uff2c \ufb01ne", "full fine"),
        ("ガラス", "カラス"),
        ("Ἀθήνα", "αθηνα"),
        ("Ёлка", "елка"),
    ],
)
def test_case_and_accents_do_not_matter(text, folded):
    """Letters lose case and accents, also those that Unicode does not take apart."""
    assert fold(text) == folded


def test_folding_again_changes_nothing():
    """For every character there is: what is folded stays as it is."""
    folded = fold(EVERY_CHARACTER)

    assert fold(folded) == folded


@given(TEXTS, TEXTS)
def test_each_character_is_folded_by_itself(one, other):
    """So a folded text begins with whatever its beginning is folded to."""
    assert fold(one + other) == fold(one) + fold(other)


def test_words_count_from_the_beginning_of_each_part():
    """A word is found by any of its parts and by all that follows, separators or not."""
    assert of_texts("bob.norman@host.example", None, "O'Brien", "AB-12") == [
        "bobnormanhostexample",
        "obrien",
        "ab12",
        "normanhostexample",
        "hostexample",
        "example",
        "brien",
        "12",
    ]


def test_an_order_has_words_of_everything_that_names_it():
    """Id, number, name, e-mail and SKUs; nothing of names of products or addresses."""
    order = make.placed_order(
        make.order_line("L1", name="Mug", sku="MUG-1"),
        make.order_line("L2", name="Tee"),
        number="#1001",
        customer=Customer(name="Zoé Roy", email="zoe@example.org", phone="+1 555"),
    )

    assert set(of_order("O-1", order)) == (
        {"o1", "1", "1001", "zoe", "roy", "zoeexampleorg", "exampleorg", "org", "mug1"}
    )


@given(TEXTS, st.data())
def test_found_by_whatever_begins_a_part(text, data):
    """Any stretch of a text that begins where a part begins, folded in any way, finds it."""
    starts = [
        n
        for n, char in enumerate(text)
        if re.match(r"[^\W_]", fold(char)) and (n == 0 or re.search(r"[\W_]$", fold(text[n - 1])))
    ]
    assume(starts)
    start = data.draw(st.sampled_from(starts))
    end = data.draw(st.integers(start + 1, len(text)))
    query = data.draw(st.sampled_from([str, str.upper, fold]))(text[start:end])
    assume(fold(query) == fold(text[start:end]))  # Ancient Greek's small iota becomes a large one

    words = of_texts("other", text)

    assert searched(query)
    assert all(any(word.startswith(one) for word in words) for one in searched(query))


def test_no_more_words_than_an_order_can_hold():
    """5,000 SKUs of the longest kind are all found by their beginning; parts only fill up."""
    skus = [f"{'𠮷' * 30}-{n:04}-" + "𠮷-" * 14 for n in range(5_000)]

    words = of_texts("O-1", *skus)

    assert len(words) == MAX_WORDS
    assert set(map(len, words[1:5_001])) == {MAX_LENGTH}
    assert all(f"{'𠮷' * 30}{n:04}𠮷𠮷" in words[n + 1] for n in (0, 4_999))
    assert words[5_001] == "1"  # of the id: the first part that is no beginning


def test_a_search_has_a_bound():
    """Of a search of very many words the first ones are asked for; each no longer than a word."""
    text = " ".join(f"w{n}-{'x' * 100}" for n in range(1_000))

    assert searched(text) == [f"w{n}{'x' * 100}"[:MAX_LENGTH] for n in range(MAX_SEARCHED)]


@pytest.mark.parametrize("text", ["", "  ", "-", "'", "\\ & | ! :* ()"])
def test_a_search_of_nothing(text):
    """What has neither letter nor digit asks for nothing, whatever it means elsewhere."""
    assert searched(text) == []
