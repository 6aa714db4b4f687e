"""`python -m ventralstream` and `ventral`."""

import sys


def main() -> None:
    """Runs the command line, or says which extra it needs."""
    from ventralstream.extras import MissingExtra, require

    try:
        require("cli")
    except MissingExtra as error:
        sys.exit(f"error: the command line needs more: {error}")
    from ventralstream.cli import main as run

    run()


if __name__ == "__main__":
    main()
