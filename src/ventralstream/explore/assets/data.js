// What the page shows: traces, read from one JSON header and one block of bytes. Nothing else reads the block.

export async function inflate(compressed) {
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// One network's trace. Arrays come as {levels, low, high}: value = low + level / 255 * (high - low).
export class Trace {
  constructor(header, bytes) {
    Object.assign(this, header);
    this.bytes = bytes;
    this.start = header.start ?? 0;
    this.byName = new Map(this.areas.map((a) => [a.name, a]));
    this.last = (this.steps - 1) * this.dt_ms;
  }

  stepAt(ms) {
    return Math.max(0, Math.min(this.steps - 1, Math.floor(ms / this.dt_ms + 1e-6)));
  }

  slice(place, index, size) {
    const at = this.start + place.at + index * size;
    return this.bytes.subarray(at, at + size);
  }

  // What is on the screen at a step: {shows, pixels, width, height, channels} or {shows: "blank", colour}.
  frame(image, step) {
    const segment = this.segments.find((s) => step >= s.start && step < s.stop);
    return segment.shows === "blank" ? segment : { ...segment, ...this.pixels(image, segment.shows) };
  }

  pixels(image, kind = "image") {
    const place = this.images[kind];
    const [, height, width, channels] = place.shape;
    return { levels: this.slice(place, image, height * width * channels), height, width, channels };
  }

  // An area's mean over channels at a step (its channels side by side, where it has no maps).
  picture(area, image, step) {
    if (!area.exists[step]) return null;
    const [, , height, width] = area.picture.shape;
    const size = height * width;
    const levels = this.slice(area.picture, image * this.steps + step, size);
    return { levels, height, width, low: area.picture.low[0], high: area.picture.high[0] };
  }

  map(area, image, step, k) {
    if (!area.exists[step]) return null;
    const [, , count, height, width] = area.maps.shape;
    const levels = this.slice(area.maps, (image * this.steps + step) * count + k, height * width);
    return { levels, height, width, low: area.maps.low[k], high: area.maps.high[k] };
  }

  // All channels of an area at a step, their means over space.
  channels(area, image, step) {
    const count = area.channels.shape[2];
    return { levels: this.slice(area.channels, image * this.steps + step, count), low: area.channels.low, high: area.channels.high };
  }

  logitsAt(step) {
    const i = step - this.answer.start;
    return i >= 0 ? i : null;
  }

  // What it says at a step: null before the image drives the logits.
  says(image, step) {
    const { first_step: first, top, confidence, classes } = this.answer;
    if (first === null || step < first) return null;
    const i = this.logitsAt(step);
    return { k: top[image][i], name: classes[top[image][i]], p: confidence[image][i] };
  }

  probability(image, step, k) {
    const at = this.answer.kept[image].indexOf(k);
    const i = this.logitsAt(step);
    return at < 0 || i === null ? null : this.answer.probabilities[image][i][at];
  }

  // The class whose curve stands out: what is shown, where that is known and among the answers; else the last answer.
  focus(image) {
    const { classes, top, kept } = this.answer;
    const truth = classes.indexOf(this.images.truths[image]);
    if (truth >= 0 && kept[image].includes(truth)) return truth;
    return top[image][top[image].length - 1];
  }

  rival(image) {
    const focus = this.focus(image);
    const first = this.logitsAt(Math.max(this.answer.first_step ?? 0, this.answer.start));
    let best = null;
    let most = -1;
    this.answer.kept[image].forEach((k, at) => {
      if (k === focus) return;
      const p = Math.max(...this.answer.probabilities[image].slice(first).map((row) => row[at]));
      if (p > most) [best, most] = [k, p];
    });
    return best;
  }
}

export function value(array, i, low = array.low, high = array.high) {
  return low + (array.levels[i] / 255) * (high - low);
}
