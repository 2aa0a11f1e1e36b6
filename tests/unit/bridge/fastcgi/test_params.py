"""The encoding and decoding of parameters: names, values, lengths and whole pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.fastcgi import InvalidRequest, params
from bridge.fastcgi.params import ParamsDecoder, decode_params, encode_params
from tests.unit.bridge.fastcgi.application import pairs_of


def test_text_and_bytes() -> None:
    """Text is sent as UTF-8, bytes as they are, in the given order."""
    (content,) = encode_params({"PATH_INFO": "/é", "B": b"\xff\x00", "EMPTY": ""})
    assert list(pairs_of(content)) == [("PATH_INFO", "/é".encode()), ("B", b"\xff\x00"), ("EMPTY", b"")]


def test_bytes_on_the_wire() -> None:
    """A length below 128 takes one byte, a greater one four bytes with the top bit set."""
    assert encode_params({"A": b"x" * 127}) == [b"\x01\x7fA" + b"x" * 127]
    assert encode_params({"A": b"x" * 128}) == [b"\x01\x80\x00\x00\x80A" + b"x" * 128]
    assert encode_params({"A" * 128: b"x"}) == [b"\x80\x00\x00\x80\x01" + b"A" * 128 + b"x"]


def test_no_parameters() -> None:
    """An empty set of parameters gives no content; the connection sends the empty record that ends PARAMS."""
    assert encode_params({}) == []


@pytest.mark.parametrize("name", ["", "a", "1A", "_A", "A-B", "A B", "A=B", "É", "A\n", "A\0", "Ab"])
def test_bad_names_are_refused(name: str) -> None:
    """A name that does not match [A-Z][A-Z0-9_]* is refused, and the error quotes it."""
    with pytest.raises(InvalidRequest, match=r"parameter name .* expected \[A-Z\]"):
        encode_params({"GOOD": "1", name: "x"})


def test_lone_surrogate_is_refused() -> None:
    """A value that UTF-8 cannot encode raises `InvalidRequest`, which names the parameter."""
    with pytest.raises(InvalidRequest, match="HTTP_CE_ID cannot be sent as UTF-8"):
        encode_params({"HTTP_CE_ID": "\ud800"})


def test_pairs_are_never_split() -> None:
    """Many pairs are split over several records, each with whole pairs and at most 65,528 bytes."""
    given = {f"P{number}": bytes([number]) * 30_000 for number in range(7)}
    contents = encode_params(given)
    assert all(0 < len(content) <= 65_528 for content in contents)
    assert [pair for content in contents for pair in pairs_of(content)] == list(given.items())


def test_largest_pair() -> None:
    """A pair of 65,528 bytes is sent; a pair with one byte more is refused with the parameter's name."""
    room = 65_528 - len("A") - 1 - 4
    assert [len(content) for content in encode_params({"B": "x", "A": bytes(room), "C": "x"})] == [4, 65_528, 4]
    with pytest.raises(InvalidRequest, match="A takes 65529 bytes: expected at most 65528"):
        encode_params({"A": bytes(room + 1)})


def test_lengths_beyond_31_bits_are_refused() -> None:
    """A length that does not fit into 31 bits is refused, not truncated."""
    with pytest.raises(InvalidRequest, match="expected at most 2147483647"):
        params._encode_length(0x8000_0000)


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,200}", fullmatch=True), st.binary(max_size=300)))
def test_what_is_encoded_decodes(params: dict[str, bytes]) -> None:
    """Decoding returns the encoded parameters, with names and values of any length."""
    decoded = decode_params(b"".join(encode_params(params)))
    assert decoded == {name: value.decode("latin-1") for name, value in params.items()}


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    """Decoding any bytes returns parameters that are in them, or raises `ValueError`."""
    try:
        params = decode_params(data)
    except ValueError:
        return
    assert sum(len(name) + len(value) for name, value in params.items()) <= len(data)


_SOME = st.dictionaries(st.sampled_from("ABCDE"), st.text("xy", max_size=3) | st.just("z" * 200), max_size=5)


@given(st.lists(_SOME, max_size=8))
def test_a_decoder_of_many_requests_decodes_each(requests: list[dict[str, str]]) -> None:
    """Whatever they have in common with those before."""
    decoder = ParamsDecoder()
    for each in requests:
        encoded = b"".join(encode_params(each))
        assert decoder.decode(encoded) == each == decode_params(encoded)


@given(st.lists(st.binary(max_size=12), max_size=6))
def test_a_decoder_of_many_requests_refuses_what_is_cut_off(requests: list[bytes]) -> None:
    """As if each were the first."""
    decoder = ParamsDecoder()
    for encoded in requests:
        try:
            expected = decode_params(encoded)
        except ValueError:
            with pytest.raises(ValueError, match="parameters of"):
                decoder.decode(encoded)
        else:
            assert decoder.decode(encoded) == expected
