"""The oracle of graphs; it lives in the package, so that users' cells can be checked against it too."""

from ventralstream.testing.naive import frames_of, unroll

__all__ = ["frames_of", "unroll"]
