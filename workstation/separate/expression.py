"""Engines made of engines, written as one line: `average(htdemucs=2,dsp)`.

    A@vocals+drums             only these stems of A; what is left of the mix is one more stem
    average(A,B=2,C@vocals)    weighted mean; C takes part in vocals only
    median(A,B,C)  max(A,B)    median of the samples; loudest bin of the spectrum
    cascade(A@vocals,B)        A's vocals, then B separates what is left of the mix
    residual(A,other)          what A's stems miss of the mix: into `other`, or as a stem of its
                               own (`own`), or shared out by energy (`energy`, as without this)
    gate(A)  gate(A,-50)       silence stems where they are 40 dB (50 dB) below the mix; the bleed
                               of networks is softer than that, that of dsp is at -20 to -35 dB
    wiener(A)  wiener(A,2)     refine the stems by a multichannel Wiener filter, once or twice
    shifts(A,4)                the mean of 4 runs on the mix delayed by fractions of half a second

What they do to plain SDR, mean of four stems over three real and three synthetic songs:
dsp 4.18 dB; average(dsp,nmf@bass) 4.28 (its bass 3.62 to 4.16); shifts(dsp,4) 4.23;
cascade(dsp@vocals,dsp) 4.22; average(dsp=3,nmf) 4.07; wiener(dsp) 3.84; max(dsp,nmf) 3.11. A blend
is as good as its members are alike in quality, and the Wiener filter has nothing to mend in
stems that are masks of the mix already: it is for engines whose stems are not.

A, B and C may be such expressions themselves. Such a name is a file name too, and stands wherever
the name of an engine does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from workstation.model import UsageError
from workstation.model.names import file_name
from workstation.separate.cascade import Cascade, Only
from workstation.separate.ensemble import BLENDS, Ensemble, Member
from workstation.separate.protocol import Separator
from workstation.separate.refine import RESIDUALS, Gate, Residual, Shifts, Wiener

FUNCTIONS = (*BLENDS, "cascade", "residual", "gate", "wiener", "shifts")
_TOKEN = re.compile(r"[^(),@=+]+|[(),@=+]")
_HELP = "See `workstation engines --help` for how engines are combined."


class Term(msgspec.Struct, frozen=True):
    """A parsed expression: a name, what stands in its brackets, behind its @ and its =."""

    name: str
    inside: tuple[Term, ...] = ()
    stems: tuple[str, ...] = ()
    value: str | None = None

    def __str__(self) -> str:
        inside = f"({','.join(map(str, self.inside))})" if self.inside else ""
        stems = f"@{'+'.join(self.stems)}" if self.stems else ""
        return f"{self.name}{inside}{stems}" + (f"={self.value}" if self.value else "")

    @property
    def bare(self) -> Term:
        """The same without stems and value."""
        return Term(self.name, self.inside)


def canonical(name: str) -> str:
    """An engine's name as its card writes it: expressions without blanks, others as they are."""
    try:
        return str(parse(name)) if is_expression(name) else name
    except UsageError:  # The brackets of a file's name.
        return name


def is_expression(name: str) -> bool:
    """Whether a name says more than that of one engine."""
    return bool(re.search(r"[()@=]", name))


def parse(text: str) -> Term:
    """Read an expression.

    Raises:
        UsageError: It is none; the words say where.

    >>> str(parse("average( dsp , nmf@bass = 2 )"))
    'average(dsp,nmf@bass=2)'
    """
    if file_name(text.strip(), fallback="", max_bytes=120) != text.strip():
        raise UsageError(
            f'"{text}" is no engine: it is too long, or has characters that files cannot have.',
            _HELP,
        )
    tokens = [token.strip() for token in _TOKEN.findall(text)]
    reader = _Reader(text, [token for token in tokens if token])
    term = reader.term()
    reader.end()
    return term


class _Reader:
    """Reads terms from tokens, left to right."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self._text, self._tokens, self._at = text, tokens, 0

    def term(self) -> Term:
        name = self._word("a name")
        inside: list[Term] = []
        if self._take("("):
            inside.append(self.term())
            while self._take(","):
                inside.append(self.term())
            if not self._take(")"):
                raise self._error('")"')
        stems: list[str] = []
        if self._take("@"):
            stems.append(self._word("a stem"))
            while self._take("+"):
                stems.append(self._word("a stem"))
        value = self._word("a value") if self._take("=") else None
        return Term(name, tuple(inside), tuple(stems), value)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._error("the end")

    def _take(self, sign: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == sign:
            self._at += 1
            return True
        return False

    def _word(self, what: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at] in "(),@=+":
            raise self._error(what)
        self._at += 1
        return self._tokens[self._at - 1]

    def _error(self, wanted: str) -> UsageError:
        there = self._tokens[self._at :]
        found = f'"{there[0]}"' if there else "its end"
        return UsageError(
            f'The engine "{self._text}" cannot be read: {wanted} should stand where {found} is.',
            _HELP,
        )


def engines_in(term: Term) -> Iterator[str]:
    """Names of the engines that an expression runs."""
    if not term.inside:
        yield term.name
        return
    # The second argument of all but blends and cascades is a setting.
    engines = term.inside if term.name in {*BLENDS, "cascade"} else term.inside[:1]
    for part in engines:
        yield from engines_in(part)


def compose(term: Term, make: Callable[[str], Separator]) -> Separator:
    """Build the engine that an expression stands for.

    Args:
        term: The expression.
        make: Makes an engine by its name.

    Raises:
        UsageError: It makes no sense: a wrong function, number or stem.
    """
    if term.value is not None:
        raise UsageError(
            f'"={term.value}" of {term} is a weight, which only average(…) takes.', _HELP
        )
    if term.stems:
        return Only(str(term), compose(term.bare, make), term.stems)
    if not term.inside:
        if term.name == "auto":
            raise UsageError(
                "auto cannot be a part of an expression: what it stands for may change.",
                "Name an engine, such as htdemucs or dsp.",
            )
        return make(term.name)
    if term.name in BLENDS:
        return Ensemble(str(term), term.name, _members(term, make))
    if term.name == "cascade":
        return _cascade(term, make)
    if term.name not in FUNCTIONS:
        raise UsageError(
            f'There is no way to combine engines called "{term.name}".',
            f"There are: {', '.join(FUNCTIONS)}.",
        )
    return _refined(term, compose(term.inside[0], make))


def _members(term: Term, make: Callable[[str], Separator]) -> list[Member]:
    """Engines of a blend, each once however often it is named."""
    general: dict[Term, float] = {}
    special: dict[Term, dict[str, float]] = {}
    for part in term.inside:
        weight = 1.0 if part.value is None else _number(term, part.value, 0.0, 1000.0)
        if part.value is not None and term.name != "average":
            raise UsageError(f"{term.name}(…) takes no weights.", "Use average(…), or leave = out.")
        if part.stems:
            special.setdefault(part.bare, {}).update(dict.fromkeys(part.stems, weight))
        else:
            general[part.bare] = weight
    members = []
    for bare in dict.fromkeys(part.bare for part in term.inside):
        own = special.get(bare, {})
        engine = compose(bare, make)
        if bare not in general:
            picked = Term(bare.name, bare.inside, tuple(own))
            engine = Only(str(picked), engine, picked.stems, rest=False)
        members.append(Member(engine, general.get(bare, 0.0), own))
    if len(members) < 2:
        raise UsageError(f"{term} needs at least two engines.", _HELP)
    return members


def _cascade(term: Term, make: Callable[[str], Separator]) -> Separator:
    *first, last = term.inside
    if not first or not all(part.stems for part in first):
        raise UsageError(
            f"{term} does not say which stems are taken before the rest is separated.",
            "Write for example cascade(htdemucs@vocals,dsp).",
        )
    steps = [Only(str(part), compose(part.bare, make), part.stems, rest=False) for part in first]
    return Cascade(str(term), steps, compose(last, make))


def _refined(term: Term, engine: Separator) -> Separator:
    name = str(term)
    if len(term.inside) > 2:
        raise UsageError(f"{term.name}(…) takes one engine and one setting.", _HELP)
    setting = str(term.inside[1]) if len(term.inside) == 2 else None
    if term.name == "residual":
        if setting not in RESIDUALS:
            raise UsageError(
                f"{name} does not say where the residual goes.",
                f"Write residual({term.inside[0]},other); there are {', '.join(RESIDUALS)}.",
            )
        return Residual(name, engine, setting)
    if term.name == "gate":
        return Gate(name, engine, _number(term, setting or "-40", -90.0, -10.0))
    if term.name == "wiener":
        return Wiener(name, engine, round(_number(term, setting or "1", 1, 5)))
    return Shifts(name, engine, round(_number(term, setting or "2", 2, 20)))


def _number(term: Term, text: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise UsageError(f'"{text}" in {term} should be a number from {low:g} to {high:g}.', _HELP)
    return number
