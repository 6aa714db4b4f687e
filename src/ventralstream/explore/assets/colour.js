// Colours of maps, from the palette's variables, and how maps are put on a canvas.

let ramps = {};

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["q", "d"]) {
    const stops = [0, 1, 2, 3, 4].map((i) => rgb(style.getPropertyValue(`--${name}${i}`)));
    ramps[name] = Uint32Array.from({ length: 256 }, (_, i) => between(stops, i / 255));
  }
  ramps.ink = style.getPropertyValue("--ink").trim();
  ramps.muted = style.getPropertyValue("--muted").trim();
  ramps.rule = style.getPropertyValue("--rule").trim();
  ramps.page = style.getPropertyValue("--page").trim();
  ramps.s1 = style.getPropertyValue("--s1").trim();
  ramps.s2 = style.getPropertyValue("--s2").trim();
  ramps.s3 = style.getPropertyValue("--s3").trim();
}

export function colour(name) {
  return ramps[name];
}

function rgb(text) {
  const n = parseInt(text.trim().slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

function between(stops, x) {
  const at = Math.min(x * (stops.length - 1), stops.length - 1.000001);
  const [a, b] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
  const [r, g, bl] = a.map((v, i) => Math.round(v + (b[i] - v) * (at % 1)));
  return (255 << 24) | (bl << 16) | (g << 8) | r;
}

const scratch = document.createElement("canvas");
const pen = scratch.getContext("2d", { willReadFrequently: false });
let sheet = null;
const page = document.createElement("canvas");
let atlas = null;

// Draws width x height colours (one Uint32 each) into a rectangle, as crisp squares.
export function put(context, width, height, colourOf, x, y, w, h) {
  if (scratch.width < width || scratch.height < height) {
    scratch.width = Math.max(scratch.width, width);
    scratch.height = Math.max(scratch.height, height);
  }
  if (!sheet || sheet.width !== width || sheet.height !== height) sheet = new ImageData(width, height);
  const pixels = new Uint32Array(sheet.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colourOf(i);
  pen.putImageData(sheet, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(scratch, 0, 0, width, height, x, y, w, h);
}

// Draws several maps of one size, each into its rectangle; they go through one sheet, which is much faster than many.
export function putAll(context, width, height, faces, rectangle) {
  const count = Math.max(1, faces.length);
  if (!atlas || atlas.width !== width || atlas.height !== height * count) {
    atlas = new ImageData(width, height * count);
    [page.width, page.height] = [width, height * count];
  }
  const pixels = new Uint32Array(atlas.data.buffer);
  const size = width * height;
  faces.forEach((colourOf, n) => {
    for (let i = 0; i < size; i++) pixels[n * size + i] = colourOf ? colourOf(i) : 0;
  });
  page.getContext("2d").putImageData(atlas, 0, 0);
  context.imageSmoothingEnabled = false;
  faces.forEach((colourOf, n) => colourOf && context.drawImage(page, 0, n * height, width, height, ...rectangle(n)));
}

export function quiet(levels) {
  return (i) => ramps.q[levels[i]];
}

// A difference that lies within -most..most.
export function signed(difference, most) {
  return (i) => ramps.d[Math.round(127.5 + 127.5 * Math.max(-1, Math.min(1, difference(i) / (most || 1))))];
}

export function picture({ levels, channels }) {
  if (channels === 3) return (i) => (255 << 24) | (levels[3 * i + 2] << 16) | (levels[3 * i + 1] << 8) | levels[3 * i];
  return (i) => (255 << 24) | (levels[i] << 16) | (levels[i] << 8) | levels[i];
}

// Sizes a canvas for the screen's density; gives its context, in CSS pixels.
export function prepared(canvas, width, height, options = {}) {
  const density = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * density), Math.round(height * density)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d", options);
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
