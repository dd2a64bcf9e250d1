"""A number with its noun, for every sentence that counts something."""


def with_noun(number: int, noun: str) -> str:
    """Formats a number with its noun: `1 case`, `4 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
