"""Single instructions of the processor that numba has no name for, for kernels.

Memory can be asked for before it is needed, which changes no result: rows in random order miss the
cache at every array they touch, and a kernel that knows which come next lets the misses overlap.
And bytes can be taken eight at a time wherever they begin. Indices are not checked.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

_BYTE, _INT, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _checked(name, array, index, bytes_only=False):
    good = isinstance(array, types.Array) and isinstance(index, types.Integer)
    if not good or (bytes_only and array.dtype != types.uint8):
        what = "an array of uint8" if bytes_only else "an array"
        raise TypingError(f"{name} takes {what} and an index, got {array} and {index}")


def _place(context, builder, array_type, array, index_type, index, kind):
    """Return a pointer to where an element begins."""
    values = context.make_array(array_type)(context, builder, array)
    at = context.cast(builder, index, index_type, types.intp)
    place = cgutils.get_item_pointer(context, builder, array_type, values, [at], wraparound=False)
    return builder.bitcast(place, kind.as_pointer())


@intrinsic
def prefetch(typing_context, array, index):  # noqa: ARG001 (numba's form)
    """Ask for the cache line in which ``array[index]`` begins."""
    _checked("prefetch", array, index)

    def build(context, builder, signature, args):
        place = _place(
            context, builder, signature.args[0], args[0], signature.args[1], args[1], _BYTE
        )
        form = ir.FunctionType(ir.VoidType(), [place.type, _INT, _INT, _INT])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [place.type], form)
        # To be read, to be kept in all caches, data.
        builder.call(hint, [place, _INT(0), _INT(3), _INT(1)])
        return context.get_dummy_value()

    return types.void(array, index), build


@intrinsic
def load_word(typing_context, array, index):  # noqa: ARG001
    """Return the eight bytes from ``array[index]`` on; the first is the lowest."""
    _checked("load_word", array, index, bytes_only=True)

    def build(context, builder, signature, args):
        place = _place(
            context, builder, signature.args[0], args[0], signature.args[1], args[1], _WORD
        )
        return builder.load(place, align=1)

    return types.uint64(array, index), build


@intrinsic
def store_word(typing_context, array, index, word):  # noqa: ARG001
    """Write eight bytes from ``array[index]`` on."""
    _checked("store_word", array, index, bytes_only=True)

    def build(context, builder, signature, args):
        place = _place(
            context, builder, signature.args[0], args[0], signature.args[1], args[1], _WORD
        )
        builder.store(args[2], place, align=1)
        return context.get_dummy_value()

    return types.void(array, index, types.uint64), build


@intrinsic
def trailing_zeros(typing_context, word):  # noqa: ARG001
    """Return the number of zero bits below the lowest one of a word that is not 0."""

    def build(context, builder, signature, args):  # noqa: ARG001
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), build
