"""How a subword stands in the files of the workload. Alone in a file, so that it can be imported without Henkan."""


def without_spaces(piece: str) -> str:
    """A tab or a no-break space in a subword is written as its code, or it would be read as two."""
    return "".join(f"<{ord(sign):x}>" if sign.isspace() else sign for sign in piece)
