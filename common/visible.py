"""Text from another machine, as a terminal may show it: nothing in it moves the cursor, hides or recolours anything."""


def visible(text: str) -> str:
    """Return `text` with a question mark for each character that a terminal obeys or does not show.

    >>> visible("adapter\\x1b[2K\\rnothing leaves")
    'adapter?[2K?nothing leaves'
    """
    return "".join(character if character.isprintable() else "?" for character in text)
