"""The look of the reports: one style sheet, light and dark, for the page and for the figures in it, or alone."""

from ventralstream.report.palette import DARK, LIGHT, css_variables

_COLOURS = f"""
:root {{ color-scheme: light dark; {css_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {css_variables(DARK)} }} }}
"""

FIGURES = """svg {
  display: block; width: 100%; height: auto;
  font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
svg .label { fill: var(--muted); }
svg .strong { fill: var(--ink); font-weight: 600; }
svg .tiny { fill: var(--muted); font-size: 10px; }
svg .axis { stroke: var(--muted); stroke-width: 1; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .zero { stroke: var(--ink); stroke-width: 1; }
svg .s1 { stroke: var(--s1); }
svg .s2 { stroke: var(--s2); }
svg .s3 { stroke: var(--s3); }
svg .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .dash { stroke-dasharray: 2 4; stroke-width: 1.6; }
svg .band { stroke: none; opacity: .16; }
svg .band.s1, svg .dot.s1 { fill: var(--s1); }
svg .band.s2, svg .dot.s2 { fill: var(--s2); }
svg .band.s3, svg .dot.s3 { fill: var(--s3); }
svg .dot { stroke: var(--page); stroke-width: 1.2; }
svg .whisker { stroke-width: 2; }
svg .other { fill: none; stroke: var(--faint); stroke-width: 1; }
svg .truth { fill: none; stroke: var(--right); stroke-width: 2.4; stroke-linejoin: round; }
svg .rival {
  fill: none; stroke: var(--wrong); stroke-width: 2; stroke-dasharray: 5 3; stroke-linejoin: round;
}
svg text.truth { fill: var(--right); stroke: none; font-weight: 600; }
svg text.rival { fill: var(--wrong); stroke: none; font-weight: 600; }
svg .answer-right { fill: var(--right); stroke: var(--right); }
svg .answer-wrong { fill: none; stroke: var(--wrong); stroke-width: 1.4; }
svg text.on-right { fill: var(--page); font-weight: 600; }
svg text.on-wrong { fill: var(--wrong); font-weight: 600; }
svg .cell { stroke: var(--rule); stroke-width: .6; fill: none; }
svg .hit { fill: var(--s3); }
svg .error { fill: var(--wrong); }
svg text.number { fill: var(--ink); font-size: 10.5px; font-variant-numeric: tabular-nums; }
svg .computed { fill: var(--s1); stroke: var(--s1); }
svg .batch-free { fill: var(--page); stroke: var(--s1); stroke-width: 1.6; }
svg .reused { fill: var(--page); stroke: var(--s3); stroke-width: 1.4; stroke-dasharray: 3 2.5; }
svg .skipped { fill: var(--faint); stroke: none; }
svg .wire { fill: none; stroke: var(--faint); stroke-width: 1.3; }
svg .wire.again { stroke: var(--s1); opacity: .75; }
svg .wire.back { stroke: var(--s2); stroke-dasharray: 4 3; }
svg text.on-computed { fill: var(--page); font-weight: 600; font-size: 11px; }
svg text.on-batch-free { fill: var(--s1); font-weight: 600; font-size: 11px; }
svg .dots { fill: none; stroke: var(--s3); stroke-width: 4.5; stroke-linecap: round; opacity: .6; }
svg .dots.many { stroke-width: 3; opacity: .3; }
svg .dot.truth-dot { fill: var(--right); }
svg .fill.s1 { fill: var(--s1); stroke: none; }
svg .bar { fill: none; stroke: var(--s1); }
svg .bar.s2 { stroke: var(--s2); }
svg .bar.s3 { stroke: var(--s3); }
svg .bar.error { stroke: var(--wrong); }
svg .bar.faint { stroke: var(--faint); }
svg .bar.open { stroke: var(--ink); stroke-dasharray: 2 2; }
svg .edge { fill: none; stroke: var(--ink); stroke-width: 1.6; }
svg .edge.gates { stroke: var(--s2); stroke-dasharray: 5 3; }
svg .edge.keeps { stroke: var(--s1); }
svg .edge.head { fill: var(--ink); stroke: none; }
svg .edge.head.gates { fill: var(--s2); }
svg .edge.head.keeps { fill: var(--s1); }
svg .node { fill: var(--card); stroke: var(--muted); stroke-width: 1.2; }
svg .node.own { stroke: var(--s1); stroke-width: 2; }
svg .node.gate { stroke: var(--s2); stroke-width: 1.6; }
svg .halo { paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; }
svg text.on-reused { fill: var(--s3); font-weight: 600; font-size: 11px; }
"""

STYLE = (
    _COLOURS
    + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 {
  font-size: clamp(1.5rem, 1.1rem + 1.8vw, 2.1rem); line-height: 1.25; margin: .3rem 0 .8rem;
  text-wrap: balance;
}
h2 { font-size: 1.25rem; margin: 3rem 0 .4rem; padding-top: 1.2rem; border-top: 1px solid var(--rule); }
h3 { font-size: .95rem; margin: 0 0 .4rem; }
p { margin: .5rem 0; max-width: 44rem; }
a { color: var(--s1); }
code {
  font: .9em/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere;
}
.over { color: var(--muted); font-size: .85rem; letter-spacing: .02em; margin: 0; }
.lead { font-size: 1.08rem; }
.note { border-left: 4px solid var(--s2); background: var(--card); padding: .6rem .9rem; margin: 1rem 0; }
.small, figcaption { color: var(--muted); font-size: .88rem; }
figure { margin: 1.1rem 0 0; }
figcaption { margin-top: .6rem; max-width: 46rem; }
.panels {
  display: grid; gap: 1.2rem 1.6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least)), 1fr));
}
.panel { min-width: 0; }
.wide { overflow-x: auto; }
.wide svg { min-width: 30rem; }
.narrow { display: none; }
@media (max-width: 44rem) { .broad { display: none; }
.narrow { display: block; } }
figure + .wide { margin-top: 1.2rem; }
.strip { display: flex; flex-wrap: wrap; gap: 4px; margin: 0 0 .5rem; }
.beside { display: flex; gap: .8rem; align-items: flex-start; }
.beside > img { flex: none; }
.beside > div { flex: 1; min-width: 0; }
img { image-rendering: pixelated; border-radius: 3px; display: block; }
.legend {
  display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .9rem; margin: .8rem 0 .9rem; padding: 0;
  list-style: none;
}
.legend li { display: flex; align-items: center; gap: .45rem; }
.legend svg { width: 34px; height: 16px; flex: none; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td {
  padding: .45rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap;
}
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 8.5rem; }
thead th {
  color: var(--muted); font-weight: 600; font-size: .84rem; vertical-align: bottom; white-space: normal;
}
tbody th { font-weight: 600; }
td small { display: block; color: var(--muted); font-size: .78rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; font-size: .92rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; }
dd { margin-bottom: .5rem; } }
@media print { body { background: #fff; }
h2 { break-after: avoid; }
figure, .panel, table { break-inside: avoid; } }
"""
    + FIGURES
).strip()


def as_file(figure: str) -> str:
    """A figure of a page as an SVG file of its own, in the light colours.

    Args:
        figure: The figure, as `svg.drawing` makes it.
    """
    head, _, inside = figure.partition(">")
    style = f":root {{ {css_variables(LIGHT)} }}\n{FIGURES}"
    page = '<rect width="100%" height="100%" fill="var(--card)"/>'
    return f"{head}><style>{style}</style>{page}{inside}\n"
