// Feature maps of the chosen area as small multiples, and all of its channels over time.

import { colour, prepared, put, putAll, quiet, signed } from "./colour.js";
import { value } from "./data.js";
import { byId, choices, element, mark } from "./dom.js";

const MODES = ["activity", "change from the step before"];
const SORTS = [
  ["variance", "variance over time"],
  ["selectivity", "selectivity among the images"],
  ["channel", "channel number"],
];

export class Maps {
  constructor(app) {
    this.app = app;
    this.mode = 0;
    this.canvas = byId("maps");
    this.raster = byId("raster");
    choices(byId("mode"), MODES, 0, (i) => {
      this.mode = i;
      mark(byId("mode"), i);
      this.build();
    });
    byId("sort").addEventListener("change", () => this.build());
    this.raster.addEventListener("click", (e) => app.seek(Math.floor((e.offsetX / this.raster.clientWidth) * app.trace.steps) * app.trace.dt_ms, true));
    new ResizeObserver(() => this.build()).observe(this.canvas.parentElement);
  }

  tabs() {
    const { app } = this;
    const areas = app.trace.areas.map((a) => a.name);
    choices(byId("areas"), areas, areas.indexOf(app.area), (i) => app.set({ area: areas[i] }));
    const selective = app.trace.areas.some((a) => a.selectivity?.some((s) => s !== null));
    const chosen = byId("sort").value;
    byId("sort").replaceChildren(...SORTS.filter(([key]) => key !== "selectivity" || selective).map(([key, text]) => element("option", { value: key, selected: key === chosen }, text)));
  }

  ordered(count, kept = null) {
    const area = this.app.trace.byName.get(this.app.area);
    const rank = Array.from({ length: count }, (_, i) => i);
    const scores = area[byId("sort").value];
    if (scores) rank.sort((i, j) => (scores[kept ? kept[j] : j] ?? -1) - (scores[kept ? kept[i] : i] ?? -1) || i - j);
    return rank;
  }

  build() {
    const { app } = this;
    if (!app.trace || !this.canvas.parentElement.clientWidth) return;
    const area = app.trace.byName.get(app.area);
    mark(byId("areas"), app.trace.areas.indexOf(area));
    const shape = area.shape;
    const kept = area.maps?.kept ?? [];
    this.order = this.ordered(kept.length, kept);
    byId("maps-title").textContent = area.maps ? `Feature maps of ${area.name}` : `Channels of ${area.name}`;
    const size = shape.length === 3 ? `${shape[0]} channels of ${shape[1]} x ${shape[2]}` : `${shape[0]} channels without maps`;
    const reduced = area.maps && (area.maps.shape[3] !== shape[1] || area.maps.shape[4] !== shape[2]) ? `, averaged to ${area.maps.shape[3]} x ${area.maps.shape[4]}` : "";
    const which = kept.length < shape[0] ? `the ${kept.length} that vary most over time` : "all of them";
    byId("maps-note").textContent = !area.maps
      ? `${area.name} has ${size}: they are on the right.`
      : `${size}${reduced}; shown: ${which}. ${app.differs ? "Blue: more in the first network; orange: less." : this.mode ? "Blue: more than at the step before; orange: less." : "Each map has its own scale, from its lowest value to its highest over time and images."}`;
    this.canvas.setAttribute("aria-label", `Feature maps of ${area.name}, ${which}, sorted by ${byId("sort").selectedOptions[0]?.textContent ?? ""}.`);
    const diverges = this.mode === 1 || app.differs;
    byId("scale").replaceChildren(diverges ? "less" : "low", element("i", { style: `background:linear-gradient(90deg,${[0, 1, 2, 3, 4].map((i) => `var(--${diverges ? "d" : "q"}${i})`).join(",")})` }), diverges ? "more" : "high");
    this.drawRaster(area);
    this.draw();
  }

  draw() {
    const { app } = this;
    const area = app.trace.byName.get(app.area);
    this.drawCursor();
    this.canvas.hidden = !area.maps;
    if (!area.maps) return;
    const width = this.canvas.parentElement.clientWidth;
    const [, , count, h, w] = area.maps.shape;
    const columns = Math.max(4, Math.min(8, Math.floor(width / 84), count));
    const gap = 6;
    const side = Math.floor((width - gap * (columns - 1)) / columns);
    const tall = Math.round((side * h) / w);
    const rows = Math.ceil(count / columns);
    const context = prepared(this.canvas, width, rows * (tall + 17) - 2);
    context.font = "10.5px system-ui, sans-serif";
    const faces = this.order.map((k) => this.coloursOf(area, k, h * w));
    putAll(context, w, h, faces, (i) => [(i % columns) * (side + gap), Math.floor(i / columns) * (tall + 17), side, tall]);
    this.order.forEach((k, i) => {
      const [x, y] = [(i % columns) * (side + gap), Math.floor(i / columns) * (tall + 17)];
      context.strokeStyle = colour("rule");
      context.strokeRect(x + 0.5, y + 0.5, side - 1, tall - 1);
      context.fillStyle = colour("muted");
      context.fillText(`ch ${area.maps.kept[k]}`, x + 1, y + tall + 11);
    });
  }

  coloursOf(area, k, size) {
    const { app, mode } = this;
    const { trace, other, image, step, now } = app;
    const one = this.valuesOf(trace, area, image, step, k);
    if (!app.differs) {
      const levels = (app.view === 1 ? this.levelsOf(other, image, other.stepAt(now), area.maps.kept[k]) : trace.map(area, image, step, k))?.levels;
      if (!mode) return levels && quiet(levels);
      return one && signed(one, (area.maps.high[k] - area.maps.low[k]) / 2);
    }
    const twin = other.byName.get(area.name);
    const at = twin?.maps?.kept.indexOf(area.maps.kept[k]) ?? -1;
    if (at < 0 || twin.maps.shape[3] * twin.maps.shape[4] !== size) return null;
    const two = this.valuesOf(other, twin, image, other.stepAt(now), at);
    if (!one || !two) return null;
    return signed((i) => one(i) - two(i), Math.max(area.maps.high[k] - area.maps.low[k], twin.maps.high[at] - twin.maps.low[at]) / 2);
  }

  levelsOf(other, image, step, channel) {
    const twin = other.byName.get(this.app.area);
    const at = twin?.maps?.kept.indexOf(channel) ?? -1;
    return at < 0 ? null : other.map(twin, image, step, at);
  }

  // A map's values, or their change from the step before.
  valuesOf(trace, area, image, step, k) {
    const map = trace.map(area, image, step, k);
    if (!map) return null;
    if (!this.mode) return (i) => value(map, i);
    const before = step ? trace.map(area, image, step - 1, k) : null;
    return before ? (i) => value(map, i) - value(before, i) : () => 0;
  }

  drawRaster(area) {
    const { app } = this;
    const trace = app.view === 1 && app.other ? app.other : app.trace;
    const mine = trace.byName.get(area.name);
    const width = this.raster.parentElement.clientWidth;
    if (!mine) return;
    const count = mine.channels.shape[2];
    const rank = this.ordered(count);
    const tall = Math.max(120, Math.min(420, count * (count > 100 ? 3 : 9)));
    const context = prepared(this.raster, width, tall);
    const levels = Array.from({ length: trace.steps }, (_, t) => (mine.exists[t] ? trace.channels(mine, app.image, t).levels : null));
    const steps = trace.steps;
    put(context, steps, count, (i) => (levels[i % steps] ? quiet(levels[i % steps])(rank[Math.floor(i / steps)]) : 0), 0, 0, width, tall);
    this.raster.setAttribute("aria-label", `All ${count} channels of ${area.name} by time, their mean over space, each on its own scale.`);
    byId("raster-note").textContent = `${count} channels from top to bottom, time to the right, in the same order; each on its own scale.`;
  }

  drawCursor() {
    const { trace, step } = this.app;
    const column = this.raster.clientWidth / trace.steps;
    Object.assign(byId("raster-cursor").style, { width: `${Math.max(3, column)}px`, height: `${this.raster.clientHeight}px`, transform: `translateX(${step * column}px)` });
  }
}
