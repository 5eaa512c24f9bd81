"""Compiling numeric loops with numba, kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def compiled(
    function: Callable[_Parameters, _Result],
    signature: object = None,
    *,
    nogil: bool = True,
) -> Callable[_Parameters, _Result]:
    """Compile a function to machine code.

    Args:
        function: Loops over numbers and arrays.
        signature: Its types as numba writes them, to compile it at once; None compiles at the
            first call.
        nogil: Let other threads of Python run meanwhile.

    Returns:
        The compiled function. What was compiled is kept beside the module or in the user's
        cache; where neither can be written it is compiled anew in every process.
    """
    made: Callable[_Parameters, _Result]
    try:
        made = numba.njit(signature, cache=True, nogil=nogil)(function)
    except RuntimeError:
        made = numba.njit(signature, nogil=nogil)(function)
    return made
