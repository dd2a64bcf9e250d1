"""The base of every record, and the numbers that one may hold.

Records are frozen structs of msgspec: typed at every depth, checked when they are read, and written
in the order of their fields.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
"""A whole number of 0 or more that a float holds exactly."""
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=2**53)]
"""A whole number of 1 or more."""
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
"""A duration in seconds."""
Share: TypeAlias = Annotated[float, Meta(ge=0)]
"""A share of a whole; 1 is all of it."""
Bytes: TypeAlias = Count
"""A size in bytes."""


class Record(Struct, frozen=True, kw_only=True):
    """A typed, frozen record. Fields that a file has and the record does not are passed over."""
