"""The operations of torch that a function calls, as a device would see them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


def count_operations(function: Callable[[], object]) -> Counter[str]:
    """Call a function and count the operations below autograd by name, views of tensors left out."""
    with _Counting() as counting:
        function()
    return counting.found


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not func.is_view and func.namespace != "profiler":
            self.found[str(func)] += 1
        return func(*args, **(kwargs or {}))
