"""Random meetings of a till's changes with head office's rows: few values a type, so that they often coincide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from orchestrator.core import values
from orchestrator.core.plan import Column, PolicySpec, Table
from orchestrator.policies.merging import Difference, Image

STATES = ("draft", "sent", "paid")
STATUS = PolicySpec("state_machine", STATES)

Forms = Mapping[str | None, tuple[Any, ...]]
"""What head office's session prints of a value, and how tills may have stored it."""
Step = tuple[Image | None, Image | None]


@dataclass(frozen=True)
class Domain:
    """A type with its values."""

    type: str
    forms: Forms
    encode: str | None = None

    def differs(self, one: str | None, other: str | None) -> bool:
        """Whether head office's type says that two values are not the same; written anew, for it is the oracle."""
        if one is None or other is None or one == other:
            return one is not other and one != other
        if self.type.startswith("numeric") or self.type in ("bigint", "double precision"):
            return "NaN" in (one, other) or Decimal(one) != Decimal(other)
        if self.type == "money":
            return _cash(one) != _cash(other)
        if self.encode == "unix_s":
            return one.partition(".")[0].removesuffix("+00") != other.partition(".")[0].removesuffix("+00")
        return True


def _cash(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", ""))


TEXT = Domain("text", {None: (None,), "": ("",), "a": ("a",), "A": ("A", b"A"), "á": ("á",), "a ": ("a ",)})
CODE = Domain("text", {None: (None,), "01": ("01",), "1": ("1", 1), "2": ("2", 2), "1.0": ("1.0",)})
STATE = Domain("text", {None: (None,), "lost": ("lost",), "gone": ("gone",)} | {s: (s,) for s in STATES})
AMOUNT = Domain(
    "numeric(14,3)",
    {
        None: (None,),
        "0.000": (0, "0", 0.0),
        "1.000": (1, 1.0, "1.00", "1"),
        "-2.500": (-2.5, "-2.5", "-2.500"),
        "7.125": (7.125, "7.125"),
    },
)
LOOSE = Domain(
    "numeric", {None: (None,), "1": (1, "1"), "1.0": ("1.0",), "1.00": ("1.00",), "NaN": ("NaN",), "3": (3,)}
)
COUNT = Domain("bigint", {None: (None,), "0": (0,), "1": (1, "1", 1.0), "-5": (-5,), "9007199254740993": (2**53 + 1,)})
MONEY = Domain("money", {None: (None,), "$1.00": (1, 1.0, "1"), "-$2.50": (-2.5,), "$1,234.00": ("1234.00",)})
RATIO = Domain("double precision", {None: (None,), "0.5": (0.5, "0.5"), "NaN": ("NaN",), "-0": ("-0",), "0": (0, 0.0)})
FLAG = Domain("boolean", {None: (None,), "true": (1, "t", "yes"), "false": (0, "f", "no")})
PHOTO = Domain("bytea", {None: (None,), "\\x": (b"", ""), "\\x31": (b"1", "1"), "\\x00ff": (b"\0\xff",)})
DOC = Domain("json", {None: (None,), "{}": ("{}",), '{"a":1}': ('{"a":1}',), '{"a": 1}': ('{"a": 1}',), "1": ("1",)})
AT = Domain(
    "timestamp with time zone",
    {
        None: (None,),
        "2024-03-31 00:30:00+00": ("2024-03-31T00:30:00+00:00", "2024-03-31 02:30:00+02", "2024-03-31T00:30Z"),
        "2024-03-31 00:30:00.25+00": ("2024-03-31T00:30:00.250000+00:00",),
        "infinity": ("infinity",),
    },
)
CUT = Domain(
    "timestamp with time zone",
    {
        None: (None,),
        "2024-03-31 00:30:00+00": (1711845000,),
        "2024-03-31 00:30:01+00": (1711845001, 1711845001.0),
    },
    encode="unix_s",
)
# Finer than the till can say: to it this is the value above.
CUT_AT_HOME = (*CUT.forms, "2024-03-31 00:30:00.75+00", "2024-03-31 00:30:01.5+00")

OWN = {
    "note": TEXT,
    "code": CODE,
    "amount": AMOUNT,
    "loose": LOOSE,
    "count": COUNT,
    "cash": MONEY,
    "ratio": RATIO,
    "flag": FLAG,
    "photo": PHOTO,
    "doc": DOC,
    "at": AT,
    "cut": CUT,
}
"""Columns that every table has under its own policy."""


FUNCTION = "public.decide"
DECIDE = """
CREATE FUNCTION decide(base jsonb, theirs jsonb, ours jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE (coalesce(theirs, ours) ->> 'id')::integer % 4
           WHEN 0 THEN NULL WHEN 1 THEN coalesce(ours, theirs) WHEN 2 THEN coalesce(theirs, ours)
           ELSE '{"note": "by the function"}' END $$;
"""


def answer(theirs: Image | None, ours: Image | None) -> dict[str, str | None] | None:
    """What the function says of two images."""
    names = ("id", *DOMAINS)
    mine, other = (None if i is None else dict(zip(names, i, strict=True)) for i in (ours, theirs))
    which = int(next(str(i["id"]) for i in (other, mine) if i is not None)) % 4
    answers: list[dict[str, str | None] | None] = [None, mine or other, other or mine, {"note": "by the function"}]
    return answers[which]


def policies() -> dict[str, PolicySpec]:
    """Every policy with every fallback, by the name of the table that is merged under it."""
    plain = ("central_wins", "branch_wins", "append_only", "newest_wins", "manual")
    found = {name: PolicySpec(name) for name in plain} | {"function": PolicySpec("function", function=FUNCTION)}
    for name in ("column_merge", "additive", "state_machine"):
        for fallback in ("central_wins", "branch_wins", "newest_wins", "manual"):
            states = STATES if name == "state_machine" else ()
            found[f"{name}_{fallback[0]}"] = PolicySpec(name, states, fallback)
    return found


def others() -> dict[str, tuple[Domain, PolicySpec]]:
    """Columns with a policy of their own."""
    found: dict[str, tuple[Domain, PolicySpec]] = {}
    for name, spec in policies().items():
        if spec.policy == "additive":
            found |= {f"{name}_n": (AMOUNT, spec), f"{name}_x": (LOOSE, spec), f"{name}_t": (CODE, spec)}
        else:
            found[name] = (STATE if spec.policy == "state_machine" else TEXT, spec)
    return found


OTHERS = others()
DOMAINS = OWN | {name: domain for name, (domain, _) in OTHERS.items()}


def table(name: str, spec: PolicySpec) -> Table:
    """The table of a policy, as the plan describes it. Some have no column whose policy asks when, or a function."""
    columns = [Column("id", "integer", "int", "id")]
    for column, domain in DOMAINS.items():
        kind = values.kind_of(domain.type.partition("(")[0])
        columns.append(Column(column, domain.type, kind, column, domain.encode))
    asks_nobody = name in ("central_wins", "append_only", "additive_c")
    column_policy = {c: own for c, (_, own) in OTHERS.items() if not (asks_nobody and (own.asks_when or own.function))}
    return Table(f"public.{name}", name, ("id",), tuple(columns), spec, column_policy)


def ddl(name: str) -> str:
    columns = ", ".join(f"{column} {domain.type}" for column, domain in DOMAINS.items())
    return f"CREATE TABLE {name} (id integer PRIMARY KEY, {columns});"


FIELDS: tuple[Domain, ...] = (COUNT, *DOMAINS.values())
DIFFERENCE = Difference(lambda place, a, b: FIELDS[place].differs(a, b))


@dataclass
class Story:
    """A row: what head office has, and the images that it went through at the till, the base first. is_late: the till
    changed it after head office had."""

    key: int
    ours: Image | None
    is_late: bool
    path: list[Image | None] = field(default_factory=list)

    @property
    def base(self) -> Image | None:
        return self.path[0]

    @property
    def theirs(self) -> Image | None:
        return self.path[-1]


def stories(rng: Random, count: int) -> list[Story]:
    return [_story(rng, key) for key in range(1, count + 1)]


def paths(rng: Random, told: Iterable[Story]) -> Iterator[tuple[bool, list[Step]]]:
    """The steps of the rows, each row's in order, and whether they are late. A row that ended and one that began may be
    a row whose key changed."""
    gone: list[Step] | None = None
    late = True
    for story in told:
        steps = list(zip(story.path, story.path[1:], strict=False))
        if gone is not None and story.base is None and story.is_late == late and rng.random() < 0.5:
            steps, gone = [*gone[:-1], (gone[-1][0], steps[0][1]), *steps[1:]], None
        if story.theirs is None and gone is None:
            gone, late = steps, story.is_late
        else:
            yield story.is_late, steps
    if gone is not None:
        yield late, gone


def _story(rng: Random, key: int) -> Story:
    start = _image(rng, key, at_home=False)
    base = start if rng.random() < 0.75 else None
    path: list[Image | None] = [base]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        gone = path[-1] is not None and rng.random() < 0.15
        path.append(None if gone else _edited(rng, path[-1] or start, at_home=False))
    ours = None if rng.random() < (0.15 if base else 0.4) else _edited(rng, rng.choice((start, path[-1] or start)))
    return Story(key, ours, rng.random() < 0.5, path)


def _image(rng: Random, key: int, *, at_home: bool) -> Image:
    return [str(key), *(_value(rng, name, at_home) for name in DOMAINS)]


def _edited(rng: Random, image: Image, *, at_home: bool = True) -> Image:
    """The image with some columns written anew, perhaps as they were."""
    share = rng.choice((0, 0.1, 0.1, 0.5))
    named = zip(DOMAINS, list(image)[1:], strict=True)
    return [image[0], *(_value(rng, name, at_home) if rng.random() < share else v for name, v in named)]


def _value(rng: Random, name: str, at_home: bool) -> str | None:
    return rng.choice(CUT_AT_HOME if name == "cut" and at_home else list(DOMAINS[name].forms))


def stored(rng: Random, image: Image | None) -> tuple[Any, ...] | None:
    """An image as the till's file has it, each value in any of its forms."""
    if image is None:
        return None
    named = zip(DOMAINS.values(), list(image)[1:], strict=True)
    return (int(image[0] or 0), *(rng.choice(domain.forms[value]) for domain, value in named))
