"""The colours of pages and figures, in one place.

Those of data are Okabe and Ito's, which people who are colour-blind can tell apart (a little darker on a light page);
every use of them is doubled by a shape, a dash or a place.
"""

LIGHT = {
    "page": "#fbfbfa",
    "card": "#ffffff",
    "ink": "#1c1e21",
    "muted": "#595e66",
    "rule": "#dededa",
    "faint": "#c3c5c6",
    "s1": "#0072b2",
    "s2": "#c07a00",
    "s3": "#6b7178",
    "right": "#00795a",
    "wrong": "#c34a00",
}
DARK = {
    "page": "#16181b",
    "card": "#1d2024",
    "ink": "#e7e8ea",
    "muted": "#a3a8b0",
    "rule": "#33373d",
    "faint": "#50555c",
    "s1": "#56b4e9",
    "s2": "#e69f00",
    "s3": "#a0a6ad",
    "right": "#2fbf95",
    "wrong": "#f08244",
}


def css_variables(colours: dict[str, str]) -> str:
    """The colours as CSS variables, `--ink: #1c1e21; ...`."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
