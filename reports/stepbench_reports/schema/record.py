"""The base class of every record, and the types of numbers in records.

Records are frozen msgspec structs: typed at every depth, validated when they are read, and written
in the order of their fields.
"""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53, description="count")]
"""A whole number of 0 or more that a float represents exactly, up to 2**53."""
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=2**53, description="count from 1")]
"""A whole number of 1 or more."""
LargeCount: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1, description="count")]
"""A whole number of 0 or more that fits into 64 bits (signed), for operations and bytes moved."""
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9, description="seconds")]
"""A duration in seconds, up to 30 years."""
Lap: TypeAlias = Annotated[float, Meta(ge=-1e9, le=1e9, description="seconds")]
"""A duration in seconds, computed as a difference of durations; may be just below 0."""
Share: TypeAlias = Annotated[float, Meta(ge=0, description="share")]
"""A share of a whole; 1 is all of it."""
Effect: TypeAlias = Annotated[float, Meta(ge=1e-6, le=1, description="share above 0")]
"""A change as a share of a step's duration, neither none nor more than the step."""
Moment: TypeAlias = Annotated[datetime, Meta(tz=True, description="time with its time zone")]
"""A date and time of day with a time zone."""
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=2**53, description="bytes")]
"""A size in bytes."""


class Record(Struct, frozen=True, kw_only=True):
    """A typed, frozen record. Reading ignores fields of a file that the record does not have."""
