"""JSON that is read in order to be written again."""

import pytest

from bridge.strict_json import NumberTooLarge, strict_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        (b'"\\ud800"', "\ud800"),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("1e-400", 0.0),
        ("1" + "0" * 400, 10**400),
    ],
)
def test_json_is_read(text: str | bytes, value: object) -> None:
    """Of text and of bytes."""
    assert strict_json(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("[1 2]", "Expecting ',' delimiter"),
        ("\ufeff1", "Unexpected UTF-8 BOM"),
        (b'"\xff"', "can't decode byte 0xff"),
        ("[" * 100_000, "it is nested too deep"),
    ],
)
def test_what_is_not_json_is_refused(text: str | bytes, why: str) -> None:
    """Also what Python's decoder takes."""
    with pytest.raises(ValueError, match=why):
        strict_json(text)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400 + ".0"])
def test_a_number_that_no_float_holds_is_named(number: str) -> None:
    """Python would write it as Infinity."""
    with pytest.raises(NumberTooLarge, match=f"^{number[:60]} is too large for a float of 64 bits$"):
        strict_json(f'{{"a": [{number}]}}')
