// Every area's mean activity over time, or its change from step to step, one row an area.

import { draggable, line, TimeScale } from "./chart.js";
import { byId, choices, element, mark, short, svg } from "./dom.js";

const [WIDTH, HEIGHT] = [300, 42];
const SHOWN = [
  ["mean", "mean activity", "The mean over all channels and places. Each row has its own scale; shaded: before anything of the image arrives."],
  ["change", "change", "How far the area's activity moved from the step before, in units of the larger of the two."],
];

export class Activity {
  constructor(app) {
    this.app = app;
    this.shown = 0;
    choices(byId("course"), SHOWN.map((s) => s[1]), 0, (i) => {
      this.shown = i;
      mark(byId("course"), i);
      this.build();
    });
  }

  build() {
    const { app } = this;
    const { trace, other, image } = app;
    const [key, , note] = SHOWN[this.shown];
    byId("activity-note").textContent = note + (other ? ` Solid: ${app.tags[0]}; dotted: ${app.tags[1]}.` : "");
    this.scale = new TimeScale(trace, 2, WIDTH - 2);
    const rows = element("div", { class: "rows" });
    this.rows = trace.areas.filter((a) => a[key]).map((a) => {
      const pair = [trace, other].map((t) => t && t.byName.get(a.name)?.[key]?.[image]);
      const all = pair.flatMap((v) => v ?? []).filter((v) => v !== null);
      let [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
      if (high - low < 1e-12) high = low + 1;
      const y = (v) => HEIGHT - 3 - ((v - low) / (high - low)) * (HEIGHT - 6);
      const firstDriven = a.driven.indexOf(1);
      const parts = [];
      if (firstDriven > 0) parts.push(svg("rect", { class: "before", x: 0, y: 0, width: this.scale.x(firstDriven * trace.dt_ms), height: HEIGHT }));
      parts.push(svg("line", { class: "floor", x1: 0, x2: WIDTH, y1: y(0), y2: y(0) }));
      pair.forEach((values, i) => {
        const one = [trace, other][i];
        const points = (values ?? []).map((v, t) => [this.scale.x(t * one.dt_ms), v]).filter((p) => p[1] !== null).map(([x, v]) => [x, y(v)]);
        if (points.length) parts.push(svg("path", { class: i ? "line versus" : "line", d: line(points) }));
      });
      const cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT });
      const known = (pair[0] ?? []).filter((v) => v !== null);
      const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${SHOWN[this.shown][1]} of ${a.name} over time, ${short(Math.min(...known))} to ${short(Math.max(...known))}` }, ...parts, cursor);
      draggable(drawing, WIDTH, this.scale, app);
      const number = element("span", { class: "value", "data-number": key, "data-area": a.name });
      rows.append(element("button", { class: "name", type: "button", onclick: () => app.set({ area: a.name }) }, a.name), drawing, number);
      return { cursor, number, pair };
    });
    byId("activity").replaceChildren(rows);
    this.draw();
  }

  draw() {
    const { trace, other, step, now } = this.app;
    for (const { cursor, number, pair } of this.rows ?? []) {
      const x = this.scale.x(step * trace.dt_ms);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      const second = other && pair[1] ? element("small", {}, short(pair[1][other.stepAt(now)])) : null;
      number.replaceChildren(short(pair[0]?.[step]), ...(second ? [second] : []));
    }
  }
}
