"""Asking for memory before it is needed: a hint to the processor that changes no result.

Rows that come in random order miss the cache at every array they touch; a kernel that knows which
meters come next asks for their lines some rows ahead, so that the misses overlap.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic


@intrinsic
def prefetch(typing_context, array, index):  # noqa: ARG001 (numba's form)
    """Ask for the cache line in which ``array[index]`` begins; the index is not checked."""
    if not (isinstance(array, types.Array) and isinstance(index, types.Integer)):
        raise TypingError(f"prefetch takes an array and an index, got {array} and {index}")

    def build(context, builder, signature, args):
        array_type, index_type = signature.args
        values = context.make_array(array_type)(context, builder, args[0])
        at = context.cast(builder, args[1], index_type, types.intp)
        place = cgutils.get_item_pointer(
            context, builder, array_type, values, [at], wraparound=False
        )
        byte = builder.bitcast(place, ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [byte.type],
            ir.FunctionType(ir.VoidType(), [byte.type, word, word, word]),
        )
        # To be read, to be kept in all caches, data.
        builder.call(hint, [byte, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, index), build
