"""The table of engines: our own, those of the demucs family, the user's, and plug-ins."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import msgspec

from workstation.model import UnavailableError, UsageError
from workstation.separate.expression import compose, engines_in, is_expression, parse
from workstation.separate.protocol import EngineCard, EngineFactory, EngineOptions, Separator

PLUGIN_GROUP = "workstation.separators"
DEFAULT_NETWORK = "htdemucs"
EMBEDDED = "dsp"
FAMILIES = ("instrument", "texture", "place")

# Where the factory of each of our own engines lives; it is imported when it is asked for.
_OWN = {
    "dsp": "workstation.separate.dsp:make_dsp",
    "nmf": "workstation.separate.nmf:make_nmf",
    "nmf-is": "workstation.separate.nmf:make_nmf_is",
    "hpss": "workstation.separate.hpss:make_hpss",
    "repet": "workstation.separate.repet:make_repet",
    "repet-sim": "workstation.separate.repet_sim:make_repet_sim",
    "2dft": "workstation.separate.ft2d:make_ft2d",
    "rpca": "workstation.separate.rpca:make_rpca",
    "mid-side": "workstation.separate.centre:make_mid_side",
    "centre": "workstation.separate.centre:make_centre",
    "adress": "workstation.separate.adress:make_adress",
    "duet": "workstation.separate.duet:make_duet",
    "projet": "workstation.separate.projet:make_projet",
    "fastica": "workstation.separate.fastica:make_fastica",
}

# These make as many sources as a number behind their name says: `duet-2`.
_COUNTED = re.compile(r"(duet|projet)-([2-8])")


class Choice(msgspec.Struct, frozen=True):
    """An engine that will do the work, and in words why it was taken (if it was not named)."""

    card: EngineCard
    why: str = ""


def engine(name: str, options: EngineOptions) -> Separator:
    """Make an engine by name, or by an expression that combines several.

    Raises:
        UsageError: There is no such engine; the remedy suggests a near name.
        UnavailableError: A plug-in cannot be loaded.
    """
    from workstation.separate.demucs_engine import demucs_names, make_demucs

    if name in _OWN:
        return _load(_OWN[name])(options)
    counted = _COUNTED.fullmatch(name)
    if counted:
        return _load(_OWN[counted[1]])(options, int(counted[2]))
    if name in demucs_names(options.models_dir):
        return _own_file(name, options) or make_demucs(name, options)
    plugins = _plugins()
    if name in plugins:
        return _load_plugin(plugins[name])(options)
    if is_expression(name):
        return compose(parse(name), lambda part: engine(part, options))
    known = [*_OWN, *demucs_names(options.models_dir), *plugins]
    near = difflib.get_close_matches(name, [*known, "auto"], n=1)
    raise UsageError(
        f'There is no separation engine "{name}".',
        f'Did you mean "{near[0]}"?' if near else f"Engines: auto, {', '.join(known)}.",
    )


def engine_cards(options: EngineOptions) -> list[EngineCard]:
    """Cards of all engines: ours, the demucs family, the user's own, plug-ins.

    They come by family: those that know instruments first, then texture, place, and others. A
    plug-in that cannot be loaded is left out; naming it says why.
    """
    from workstation.separate.demucs_engine import demucs_names

    others = [name for name in _OWN if name != EMBEDDED]
    names = [EMBEDDED, *demucs_names(options.models_dir), *others]
    cards = [engine(name, options).card for name in names]
    for name in _plugins():
        with contextlib.suppress(UnavailableError):
            cards.append(engine(name, options).card)
    known = {family: place for place, family in enumerate(FAMILIES)}
    return sorted(cards, key=lambda card: known.get(card.family, len(known)))


def choose_engine(name: str, options: EngineOptions) -> Choice:
    """Find the engine that a name stands for; `auto` takes the best that can work here.

    `auto` is htdemucs where its weights are at hand or can be had, else the embedded `dsp`.
    A name asked for explicitly never falls back.

    Raises:
        UsageError: There is no such engine.
        UnavailableError: The named engine's weights are missing and cannot be had.
    """
    from workstation.separate.demucs_engine import demucs_names
    from workstation.separate.weights import find_weights, network_reachable, require_weights

    if name != "auto":
        there = demucs_names(options.models_dir)
        single = name in there or not is_expression(name)
        for part in [name] if single else engines_in(parse(name)):
            if part in there:
                require_weights(part, options)
        return Choice(engine(name, options).card)

    state = find_weights(DEFAULT_NETWORK, options)
    if state.available:
        return Choice(
            engine(DEFAULT_NETWORK, options).card,
            f"Engine: {DEFAULT_NETWORK}, whose weights are on this machine.",
        )
    if not options.offline and network_reachable():
        return Choice(
            engine(DEFAULT_NETWORK, options).card,
            f"Engine: {DEFAULT_NETWORK}; its weights will be downloaded once.",
        )
    why = "the network is not to be used" if options.offline else "the network is not reachable"
    return Choice(
        engine(EMBEDDED, options).card,
        f"Engine: {EMBEDDED}, which needs no download; the weights of {DEFAULT_NETWORK} are not "
        f"on this machine and {why}.",
    )


def is_taken(name: str) -> bool:
    """Whether a name has a meaning that a file of that name in the user's folder cannot have."""
    return name in {*_OWN, "auto", "imported"} or _COUNTED.fullmatch(name) is not None


def _own_file(name: str, options: EngineOptions) -> Separator | None:
    """The engine of a network that the user trained; None if the model is another one."""
    from workstation.separate.trained_engine import TrainedEngine, trained_file

    path = trained_file(name, options)
    return None if path is None else TrainedEngine(name, path, options)


def _load(place: str) -> Callable[..., Separator]:
    module, _, attribute = place.partition(":")
    factory: Callable[..., Separator] = getattr(importlib.import_module(module), attribute)
    return factory


def _plugins() -> dict[str, EntryPoint]:
    """Engines of other packages; a plug-in cannot take a name that has a meaning already."""
    from workstation.separate.demucs_engine import demucs_names

    taken = {*_OWN, *demucs_names(None), "auto", "imported"}
    return {
        point.name: point for point in entry_points(group=PLUGIN_GROUP) if point.name not in taken
    }


def _load_plugin(point: EntryPoint) -> EngineFactory:
    try:
        factory: EngineFactory = point.load()
    except Exception as error:
        raise UnavailableError(
            f'The engine "{point.name}" of the package {point.value} cannot be loaded: {error}.',
            "Update or remove that package.",
        ) from error
    return factory
