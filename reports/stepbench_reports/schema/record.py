"""The base of every record, and the numbers that one may hold.

Records are frozen structs of msgspec: typed at every depth, checked when they are read, and written
in the order of their fields.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53, description="count")]
"""A whole number of 0 or more that a float holds exactly."""
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=2**53, description="count from 1")]
"""A whole number of 1 or more."""
LargeCount: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1, description="count")]
"""A whole number of 0 or more that 64 bits hold: operations, and bytes that these move."""
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9, description="seconds")]
"""A duration in seconds, up to 30 years."""
Lap: TypeAlias = Annotated[float, Meta(ge=-1e9, le=1e9, description="seconds")]
"""A duration that is the difference of others, and may come out just below 0."""
Share: TypeAlias = Annotated[float, Meta(ge=0, description="share")]
"""A share of a whole; 1 is all of it."""
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=2**53, description="bytes")]
"""A size in bytes."""


class Record(Struct, frozen=True, kw_only=True):
    """A typed, frozen record. Fields that a file has and the record does not are passed over."""
