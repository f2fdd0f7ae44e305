"""What every client asks: a short turn."""


def prompt(number):
    return (
        f"Please explain in a few sentences how one would sort a long list of {number} records by "
        "two keys, and which of the usual ways is best when most of them are sorted already."
    )
