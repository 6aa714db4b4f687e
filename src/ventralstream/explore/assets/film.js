// The unrolled network: areas by steps, each a small picture, and below it what the planner makes of that step.

import { colour, picture, prepared, put } from "./colour.js";
import { byId, element, svg } from "./dom.js";

const FATES = {
  computed: "computed for the image",
  "batch-free": "computed once for all images",
  reused: "the same as before: reused",
  skipped: "reaches no answer: skipped",
  inactive: "not active",
};
const LEAST = 30; // px of a column

export class Film {
  constructor(app) {
    this.app = app;
    this.box = byId("film");
    this.column = element("div", { class: "column" });
    new ResizeObserver(() => this.build()).observe(this.box.parentElement);
  }

  build() {
    const { app, box } = this;
    const { trace, image } = app;
    const room = box.parentElement.clientWidth;
    if (!trace || !room) return;
    const names = ["image", ...trace.areas.map((a) => a.name)];
    const label = 10 + 8 * Math.min(10, Math.max(...names.map((n) => n.length)));
    this.pitch = Math.max(LEAST, Math.min(64, Math.floor((room - label - 12) / trace.steps)));
    const side = this.pitch - 4;
    box.style.width = `${label + 12 + this.pitch * trace.steps}px`;
    box.style.gridTemplateColumns = `${label}px minmax(0, 1fr)`;
    const rows = names.map((name) => {
      const canvas = element("canvas", { role: "img", "aria-label": this.described(name), onclick: (e) => this.choose(e, name) });
      const tall = name === "image" ? side : side + 9;
      const context = prepared(canvas, this.pitch * trace.steps, tall);
      for (let t = 0; t < trace.steps; t++) {
        const x = t * this.pitch + 2;
        if (name === "image") this.drawFrame(context, trace.frame(image, t), x, side);
        else this.drawArea(context, trace.byName.get(name), t, x, side);
      }
      return [element("span", { class: "name" }, name), canvas];
    });
    const times = element("canvas", { "aria-hidden": "true" });
    const context = prepared(times, this.pitch * trace.steps, 16);
    context.fillStyle = colour("muted");
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    const every = Math.ceil(26 / this.pitch);
    for (let t = 0; t < trace.steps; t += every) context.fillText(String(Math.round(t * trace.dt_ms * 10) / 10), (t + 0.5) * this.pitch, 12);
    box.replaceChildren(...rows.flat(), element("span", { class: "name" }, "ms"), times, this.column);
    this.legend();
    this.draw();
  }

  drawFrame(context, frame, x, side) {
    if (frame.shows === "blank") {
      context.fillStyle = `rgb(${frame.colour.join(",")})`;
      context.fillRect(x, 0, side, side);
      context.strokeStyle = colour("rule");
      context.strokeRect(x + 0.5, 0.5, side - 1, side - 1);
    } else put(context, frame.width, frame.height, picture(frame), x, 0, side, side);
  }

  drawArea(context, area, t, x, side) {
    const found = this.app.pictureOf(area.name, t);
    context.globalAlpha = area.driven[t] ? 1 : 0.3;
    if (found) put(context, found.width, found.height, found.colours, x, 0, side, side);
    context.globalAlpha = 1;
    context.strokeStyle = area.driven[t] ? colour("s1") : colour("rule");
    context.lineWidth = 1;
    if (area.exists[t]) context.strokeRect(x + 0.5, 0.5, side - 1, side - 1);
    mark(context, area.fates[t], x + side / 2, side + 5, Math.min(18, side));
  }

  described(name) {
    const { trace } = this.app;
    if (name === "image") return `What is shown at each step: ${trace.segments.map((s) => `${s.shows} from ${s.start * trace.dt_ms} ms`).join(", ")}.`;
    const fates = trace.byName.get(name).fates;
    const runs = [];
    fates.forEach((fate, t) => (runs.length && runs[runs.length - 1][0] === fate ? (runs[runs.length - 1][2] = t) : runs.push([fate, t, t])));
    return `${name} by steps: ${runs.map(([fate, a, b]) => `${a === b ? `step ${a}` : `steps ${a} to ${b}`} ${FATES[fate]}`).join("; ")}.`;
  }

  choose(event, name) {
    const step = Math.floor(event.offsetX / this.pitch);
    this.app.seek(step * this.app.trace.dt_ms, true);
    if (name !== "image") this.app.set({ area: name });
  }

  legend() {
    const { trace } = this.app;
    const present = Object.keys(FATES).filter((fate) => fate !== "inactive" && trace.areas.some((a) => a.fates.includes(fate)));
    byId("film-legend").replaceChildren(
      ...present.map((fate) => {
        const canvas = element("canvas", { "aria-hidden": "true" });
        mark(prepared(canvas, 22, 12), fate, 11, 6, 18);
        return element("li", {}, canvas, FATES[fate]);
      }),
    );
    const count = (...fates) => trace.areas.flatMap((a) => a.fates).filter((f) => fates.includes(f)).length;
    const all = count(...Object.keys(FATES)) - count("inactive");
    byId("film-note").textContent = `Pale: nothing of the image has arrived. The marks say what the last answer costs: ${count("computed", "batch-free")} of ${all} area-steps are computed, the rest is the same as before or reaches no answer. Choose a picture to go there.`;
  }

  draw() {
    const { step } = this.app;
    const canvas = this.box.querySelector("canvas");
    if (!canvas) return;
    Object.assign(this.column.style, { left: `${canvas.offsetLeft + step * this.pitch}px`, width: `${this.pitch}px`, top: "-2px", height: `${this.box.clientHeight + 2}px` });
    const view = this.box.parentElement; // where not all steps have room, those around the cursor are in sight
    const at = step * this.pitch - view.scrollLeft;
    if (at < 0 || canvas.offsetLeft + at + this.pitch > view.clientWidth) view.scrollLeft = step * this.pitch - (view.clientWidth - canvas.offsetLeft) / 2;
  }
}

function mark(context, fate, x, y, width) {
  const half = width / 2;
  context.fillStyle = colour("s1");
  context.strokeStyle = colour("s1");
  context.lineWidth = 1.5;
  if (fate === "computed") context.fillRect(x - half, y - 2.5, width, 5);
  else if (fate === "batch-free") context.strokeRect(x - half + 0.75, y - 2, width - 1.5, 4);
  else if (fate === "reused") {
    context.strokeStyle = colour("s3");
    context.beginPath();
    for (const dy of [-1.5, 1.5]) {
      context.moveTo(x - half, y + dy);
      context.lineTo(x + half, y + dy);
    }
    context.stroke();
  } else if (fate === "skipped") {
    context.fillStyle = colour("s3");
    context.beginPath();
    context.arc(x, y, 1.7, 0, 7);
    context.fill();
  }
}
