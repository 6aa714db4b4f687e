"""`python -m ventralstream` is `ventral`."""

from ventralstream.cli import main

main()
