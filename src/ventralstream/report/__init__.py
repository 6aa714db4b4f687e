"""Reports: figures from plain arrays, drawn as SVG, and the one HTML file they go into."""
