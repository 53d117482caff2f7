"""One memcpy between two byte arrays inside numba code: rows of a patch at the speed of the machine."""

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def memcpy(typing_context: Any, out: Any, to: Any, source: Any, start: Any, count: Any) -> Any:
    """out[to : to + count] = source[start : start + count] for flat uint8 arrays that do not overlap.

    No bounds are checked: the caller answers for them.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out_type, _, source_type, _, _ = signature.args
        out_value, to_value, source_value, start_value, count_value = values
        to_pointer = context.make_array(out_type)(context, builder, out_value).data
        from_pointer = context.make_array(source_type)(context, builder, source_value).data
        cgutils.raw_memcpy(
            builder,
            builder.gep(to_pointer, [to_value]),
            builder.gep(from_pointer, [start_value]),
            count_value,
            1,
        )
        return context.get_dummy_value()

    return types.void(out, to, source, start, count), generate
