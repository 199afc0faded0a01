"""Types that threads may convert to."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def prepared(kind: type[T]) -> type[T]:
    """The type itself, when msgspec has worked out what it is made of.

    msgspec does that where a type is used first, and keeps it in the type. A second thread that
    uses the type meanwhile finds half of it, and the process ends with a segmentation fault. So
    every type that is converted to in a thread is prepared where its module is imported; a
    `Decoder` that is made there does the same.
    """
    msgspec.json.Decoder(kind)
    return kind
