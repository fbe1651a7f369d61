"""Text of others, made fit for a message or a log."""

LIMIT = 500  # characters


def one_line(text: str, limit: int = LIMIT) -> str:
    """Return the end of a text on one line: what drives a terminal or breaks a log, and what is no text, is escaped."""
    shown = " ".join(text.split())[-limit:]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
