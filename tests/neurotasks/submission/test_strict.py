from __future__ import annotations

import pytest

from neurotasks.submission.strict import loads, shown


def test_plain_json_is_read():
    assert loads('{"a": [1, 2.5, true, null, "\\u00e9"]}') == {"a": [1, 2.5, True, None, "é"]}
    assert loads(b'["\xc3\xa9"]') == ["é"]
    assert loads("[" * 32 + "]" * 32)
    assert loads(str(2**63 - 1)) == 2**63 - 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ('{"b": {"a": 1, "a": 2}}', "the key 'a' stands there twice"),
        ("NaN", "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ("1e999", "beyond what a float can be"),
        (str(2**63), "beyond 64 bits"),
        (str(-(2**70)), "beyond 64 bits"),
        ("1" * 5000, "digits"),
        ("[" * 33 + "]" * 33, "deeper than 32 levels"),
        ("[" * 10**6, "deeper than 32 levels"),
        ('{"a":' * 40 + "1" + "}" * 40, "deeper than 32 levels"),
        ('"\\ud800"', "half a surrogate pair"),
        ('{"\\udfff": 1}', "half a surrogate pair"),
        (b"\xff\xfe", "decode"),
        ("", "Expecting value"),
    ],
)
def test_what_readers_understand_differently_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        loads(text)


def test_text_of_others_is_shown_in_one_short_line():
    assert shown("plain words") == "plain words"
    assert shown("") == ""
    assert shown("a\n\tb  c") == "a b c"
    assert shown("\x1b[2J\u202e") == "?[2J?"
    assert len(shown("x" * 10**6)) == 60
    assert shown("x" * 10**6).endswith("...")
    assert shown(ValueError("no"), 10) == "no"
