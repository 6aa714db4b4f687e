"""The colours of pages and figures, in one place.

Those of data are Okabe and Ito's, which people who are colour-blind can tell apart (a little darker on a light page);
every use of them is doubled by a shape, a dash or a place.
"""


def _ramp(name: str, *colours: str) -> dict[str, str]:
    """The colours of a ramp of maps: `q` from quiet to active, `d` from less through equal to more."""
    return {f"{name}{i}": colour for i, colour in enumerate(colours)}


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
    **_ramp("q", "#ffffff", "#d3e6f3", "#7db3d8", "#0072b2", "#012f4d"),
    **_ramp("d", "#7a3d00", "#e0a04e", "#ffffff", "#6aabd6", "#014a75"),
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
    **_ramp("q", "#1d2024", "#183a52", "#256f9f", "#56b4e9", "#eaf6ff"),
    **_ramp("d", "#ffd9a0", "#c07a12", "#1d2024", "#2f86bd", "#c9e9ff"),
}


def css_variables(colours: dict[str, str]) -> str:
    """The colours as CSS variables, `--ink: #1c1e21; ...`."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
