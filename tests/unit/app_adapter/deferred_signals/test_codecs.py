"""The values that can travel with a signal: what they are in the payload, and what cannot."""

import json
import math
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, StrEnum
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as some
from markupsafe import Markup
from werkzeug.local import LocalProxy

from app_adapter.deferred_signals.codecs import DEEPEST, Codecs
from bridge.errors import InvalidPayload

APP = Flask("shop")
HERE = __name__


class Color(Enum):
    """An enum."""

    RED = "r"
    GREEN = "g"


class Size(StrEnum):
    """An enum whose members are texts."""

    LARGE = "large"


class Right(Flag):
    """An enum whose members can be joined."""

    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A dataclass that checks itself. `total` is no argument of it."""

    article: str
    price: Decimal = Decimal("1.00")
    total: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Check the price."""
        if self.price < 0:
            raise ValueError("a price below 0")


class Article:
    """A record that is found by its identity."""

    stored: dict[int, "Article"] = {}  # noqa: RUF012  # the table of the test

    def __init__(self, number: int | None) -> None:
        self.number = number
        if number is not None:
            self.stored[number] = self


class Book(Article):
    """A kind of article."""


class Point(NamedTuple):
    """A tuple of another type."""

    x: int


@dataclass
class Seasoned:
    """A dataclass that cannot be made from its fields."""

    salt: InitVar[int]


def codecs() -> Codecs:
    """Return the codecs of an app with types of its own."""
    made = Codecs()
    for kind in (Color, Size, Right, Line):
        made.register(kind, None, None, None)
    made.register(Article, lambda article: article.number, Article.stored.get, "article")
    return made


CODECS = codecs()


def sent(value: object) -> Any:
    """Return the value after it has travelled as JSON."""
    return CODECS.decoded(json.loads(json.dumps(CODECS.encoded(value, APP, "it"))), APP)


LEAVES = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text()
    | some.binary()
    | some.datetimes(timezones=some.none() | some.timezones() | some.just(UTC))
    | some.dates()
    | some.times()
    | some.timedeltas()
    | some.decimals(allow_nan=False)
    | some.uuids()
    | some.sampled_from([*Color, *Size, *Right, Right.READ | Right.WRITE, APP])
    | some.builds(Line, some.text(), some.decimals(0, 100))
)
KEYS = some.text() | some.sampled_from(["@", "@decimal", "@app"]) | some.integers() | some.dates() | some.none()


def hashable(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    """Return containers of these values that can be in a set. No lambda: Hypothesis parses the source of one, during
    which CPython 3.11 can fail if the garbage collector runs."""
    return some.tuples(inner, inner) | some.frozensets(inner, max_size=3)


def containers(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    """Return containers of these values."""
    return some.lists(inner, max_size=3) | some.tuples(inner, inner) | some.dictionaries(KEYS, inner, max_size=3)


HASHABLE = some.recursive(LEAVES, hashable, max_leaves=3)
VALUES = some.recursive(HASHABLE | some.sets(HASHABLE, max_size=3), containers, max_leaves=5)


def typed(value: object) -> object:
    """Return the value with the type of each part, because `1 == True == 1.0`."""
    match value:
        case list() | tuple():
            return type(value), [typed(each) for each in value]
        case dict():
            return [(typed(key), typed(each)) for key, each in value.items()]
        case set() | frozenset():
            return type(value), len(value), value
        case datetime() | time():
            return type(value), value.isoformat(), str(value.tzinfo)
    return type(value), value


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_a_value_arrives_as_it_was_sent(value: object) -> None:
    """Any value of the types with a codec, within any other: of the same types, and equal."""
    assert typed(sent(value)) == typed(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"order": [1, None, "a"]}, {"order": [1, None, "a"]}),
        ({"@decimal": "1"}, {"@dict": [["@decimal", "1"]]}),
        ({7: "x"}, {"@dict": [[7, "x"]]}),
        ((1, 2), {"@tuple": [1, 2]}),
        (b"\x00\xff", {"@bytes": "AP8="}),
        (Decimal("9.90"), {"@decimal": "9.90"}),
        (math.inf, {"@float": "inf"}),
        (datetime(2030, 1, 2, 3, tzinfo=UTC), {"@datetime": "2030-01-02T03:00:00+00:00"}),
        (
            datetime(2030, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
            {"@datetime": ["2030-10-27T02:30:00", "Europe/Berlin", 1]},
        ),
        (date(2030, 1, 2), {"@date": "2030-01-02"}),
        (timedelta(days=1, seconds=2), {"@timedelta": [1, 2, 0]}),
        (UUID(int=1), {"@uuid": "00000000-0000-0000-0000-000000000001"}),
        (Color.RED, {f"@{HERE}.Color": "RED"}),
        (Line("pen"), {f"@{HERE}.Line": {"article": "pen", "price": {"@decimal": "1.00"}, "total": None}}),
        (APP, {"@app": "shop"}),
    ],
)
def test_the_form_of_a_value_in_the_payload(value: object, written: object) -> None:
    """It is what docs/signals.md says, since events in flight and other programs rely on it."""
    assert CODECS.encoded(value, APP, "it") == written
    assert CODECS.decoded(written, APP) == value


def test_a_record_travels_by_its_identity() -> None:
    """Instances of subclasses too, and what a proxy of Flask's kind stands for."""
    article, book = Article(17), Book(18)

    assert CODECS.encoded([article, book], APP, "it") == [{"@article": 17}, {"@article": 18}]
    assert sent([article, book, LocalProxy(lambda: article)]) == [article, book, article]


def test_a_record_that_is_gone_or_has_no_identity_raises() -> None:
    """`None` is no identity, and no record."""
    with pytest.raises(
        InvalidPayload, match=r"it cannot travel: the codec 'article' returned None: .*committed record"
    ):
        sent(Article(None))
    with pytest.raises(LookupError, match="the codec 'article' found nothing for 404"):
        CODECS.decoded({"@article": 404}, APP)


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"lines": [1, object()]},
            r"it\['lines'\]\[1\] is of the type builtins.object: expected a value of JSON, tuple",
        ),
        (Point(1), r"of the type test.*Point: .*events\.codec\(Point, encode, decode\)"),
        (Markup("<b>"), r"events\.codec\(Markup, encode, decode\)"),
        (Seasoned(1), r"Seasoned: .* or events\.codec\(Seasoned\)"),
        (Flask("office"), "the Flask app 'office': expected the app that sends"),
        (time(1, tzinfo=ZoneInfo("Europe/Berlin")), "expected a time without a zone"),
        (1 << 20_000, "an integer of 20001 bits"),
        (_endless(), f"expected at most {DEEPEST} levels"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_value_that_cannot_travel_raises_where_it_is_sent(value: object, message: str) -> None:
    """The message names the value's place and type, and what was expected."""
    with pytest.raises(InvalidPayload, match=message):
        CODECS.encoded(value, APP, "it")


def test_nothing_is_imported_or_called_that_is_not_registered() -> None:
    """A name in a payload is looked up among the app's codecs, and nowhere else."""
    for name in (f"{HERE}.Article", "os.system", "builtins.eval", "Seasoned", ""):
        with pytest.raises(ValueError, match=f"no codec '{name}' in this app"):
            CODECS.decoded({f"@{name}": "echo"}, APP)


def test_what_arrives_is_checked_by_its_class() -> None:
    """A dataclass is made by a call, with the defaults of fields that are not there, and no others."""
    name = f"@{HERE}.Line"

    assert CODECS.decoded({name: {"article": "pen"}}, APP) == Line("pen")
    with pytest.raises(ValueError, match="a price below 0"):
        CODECS.decoded({name: {"article": "pen", "price": {"@decimal": "-1"}}}, APP)
    with pytest.raises(ValueError, match=r"expected the fields article, price, total, got \['__class__'\] too"):
        CODECS.decoded({name: {"article": "pen", "__class__": 1}}, APP)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Decimal, str, Decimal, None), ValueError, "expected a type and a name without a codec"),
        ((Article, str, str, "article"), ValueError, "expected a type and a name without a codec"),
        ((Book, str, str, "article"), ValueError, "expected a type and a name without a codec"),
        ((Book, str, str, "app"), ValueError, "expected a type and a name without a codec"),
        ((Book, None, None, None), TypeError, "expected encode and decode, or an enum or a dataclass"),
        ((Book, str, None, None), TypeError, "expected encode and decode"),
        ((Book, str, lambda: None, None), TypeError, "decode: expected a function that can be called with"),
        ((Seasoned, None, None, None), TypeError, "because it needs salt: pass encode and decode"),
        ((17, str, str, None), TypeError, "codec of 17: expected a class"),
    ],
)
def test_a_codec_that_cannot_be_used_is_refused(
    arguments: tuple[Any, Callable[..., Any], Any, Any], error: type[Exception], message: str
) -> None:
    """When it is registered."""
    with pytest.raises(error, match=message):
        CODECS.register(*arguments)


def test_a_codec_may_be_registered_again_by_the_same_lines() -> None:
    """A factory that is called twice registers it twice."""
    made = Codecs()
    for _ in range(2):
        made.register(Article, lambda article: article.number, Article.stored.get, None)
        made.register(Color, None, None, None)
        made.register(Line, None, None, None)
