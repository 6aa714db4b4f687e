// What the network answers: probabilities over time, when it was decided, and the likeliest classes now.

import { cursorLine, draggable, line, niceTimes, TimeScale } from "./chart.js";
import { byId, element, ms, percent, svg } from "./dom.js";

const [LEFT, RIGHT, TOP, BOTTOM, HEIGHT] = [34, 92, 16, 34, 250];

export class Answer {
  constructor(app) {
    this.app = app;
    this.box = byId("answer");
    new ResizeObserver(() => this.build()).observe(this.box);
  }

  build() {
    const { app, box } = this;
    const { trace, other, image } = app;
    const width = box.clientWidth;
    if (!trace || !width) return;
    const { classes, first_step: first, start, kept, probabilities, decided, confident, threshold } = trace.answer;
    this.scale = new TimeScale(trace, LEFT + 6, width - RIGHT);
    const y = (p) => HEIGHT - BOTTOM - p * (HEIGHT - BOTTOM - TOP);
    const parts = [];
    if (first > 0) parts.push(svg("rect", { class: "before", x: LEFT, y: TOP, width: Math.max(0, this.scale.x(first * trace.dt_ms) - LEFT), height: HEIGHT - BOTTOM - TOP }));
    for (const p of [0, 0.5, 1]) {
      parts.push(svg("line", { class: p ? "grid" : "axis", x1: LEFT, x2: width - RIGHT + 6, y1: y(p), y2: y(p) }));
      parts.push(svg("text", { x: LEFT - 6, y: y(p) + 4, "text-anchor": "end" }, `${100 * p}%`));
    }
    for (const t of niceTimes(trace, Math.max(2, (width - LEFT - RIGHT) / 48))) parts.push(svg("text", { x: this.scale.x(t), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, String(t)));
    parts.push(svg("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "time since the image came on (ms)"));
    const [focus, rival] = [trace.focus(image), trace.rival(image)];
    const curve = (one, k) => {
      const at = one.answer.kept[image].indexOf(k);
      if (at < 0 || one.answer.first_step === null) return [];
      return one.answer.probabilities[image].map((row, i) => [this.scale.x((one.answer.start + i) * one.dt_ms), y(row[at])]).slice(one.answer.first_step - one.answer.start);
    };
    const drawn = kept[image].filter((k) => k !== focus && k !== rival).concat(rival === null ? [] : [rival], [focus]);
    for (const k of drawn) {
      const role = k === focus ? "truth" : k === rival ? "rival" : "other";
      const points = curve(trace, k);
      if (points.length) parts.push(svg("path", { class: role, d: line(points) }, svg("title", {}, classes[k])));
    }
    const labels = [];
    const label = (points, text, role) => points.length && labels.push({ y: points[points.length - 1][1] + 4, text, role });
    if (rival !== null) label(curve(trace, rival), classes[rival], "rival");
    label(curve(trace, focus), classes[focus], "truth");
    if (other) {
      const points = curve(other, other.answer.classes.indexOf(classes[focus]));
      if (points.length) parts.push(svg("path", { class: "versus", d: line(points) }));
      label(points, `${classes[focus]} (dotted)`, "versus");
    }
    labels.sort((a, b) => a.y - b.y);
    labels.forEach((l, i) => (l.y = i ? Math.max(l.y, labels[i - 1].y + 14) : l.y));
    for (let i = labels.length - 1, floor = HEIGHT - BOTTOM + 4; i >= 0; i--, floor = labels[i + 1].y - 14) labels[i].y = Math.min(labels[i].y, floor);
    for (const l of labels) parts.push(svg("text", { class: l.role, x: width - RIGHT + 10, y: l.y }, l.text.length > 15 ? `${l.text.slice(0, 14)}…` : l.text, svg("title", {}, l.text)));
    if (decided && confident[image]) {
      const x = this.scale.x(decided[image] * trace.dt_ms);
      const end = x > width / 2;
      parts.push(svg("line", { class: "mark", x1: x, x2: x, y1: TOP - 4, y2: HEIGHT - BOTTOM }));
      parts.push(svg("text", { x: x + (end ? 4 : -4), y: TOP - 6, "text-anchor": end ? "end" : "start" }, `decided at ${ms(decided[image] * trace.dt_ms)} (${100 * threshold} % sure)`));
    } else if (first !== null) {
      parts.push(svg("text", { x: LEFT, y: TOP - 6 }, `never ${100 * threshold} % sure`));
    }
    this.cursor = cursorLine(TOP, HEIGHT - BOTTOM);
    this.dots = [["truth", trace, focus], ["rival", trace, rival], ["versus", other, other && other.answer.classes.indexOf(classes[focus])]].map(([role, one, k]) => ({ one, k, node: svg("circle", { class: `dot ${role}`, r: 4.5, visibility: "hidden" }) }));
    const ends = this.says();
    this.drawing = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": ends }, ...parts, this.cursor, ...this.dots.map((d) => d.node));
    this.y = y;
    box.replaceChildren(this.drawing, ...(other ? [element("p", { class: "hint" }, `Dotted: “${classes[focus]}”, ${app.view === 1 ? app.tags[0] : app.tags[1]}.`)] : []));
    draggable(this.drawing, width, this.scale, app);
    this.draw();
  }

  says() {
    const { trace, image } = this.app;
    const { first_step: first } = trace.answer;
    if (first === null) return "The image never reaches the answer.";
    const words = [];
    for (let t = first; t < trace.steps; t++) words.push(`${ms(t * trace.dt_ms)} ${trace.says(image, t).name} ${percent(trace.says(image, t).p)}`);
    return `Answers over time: ${words.join("; ")}.`;
  }

  draw() {
    const { trace, image, step, now } = this.app;
    if (!this.drawing) return;
    const x = this.scale.x(step * trace.dt_ms);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    for (const { one, k, node } of this.dots) {
      const at = one && one.stepAt(now);
      const p = one && k !== null && k >= 0 && one.says(image, at) ? one.probability(image, at, k) : null;
      node.setAttribute("visibility", p === null ? "hidden" : "visible");
      if (p !== null) [node.cx.baseVal.value, node.cy.baseVal.value] = [this.scale.x(at * one.dt_ms), this.y(p)];
    }
    this.drawBars();
  }

  drawBars() {
    const { trace, image, step } = this.app;
    const bars = byId("bars");
    const { classes, kept } = trace.answer;
    const [focus, rival] = [trace.focus(image), trace.rival(image)];
    const known = Boolean(trace.says(image, step));
    const ordered = kept[image].map((k) => [k, known ? trace.probability(image, step, k) : null]).sort((a, b) => (b[1] ?? 0) - (a[1] ?? 0));
    bars.replaceChildren(
      ...ordered.slice(0, 5).map(([k, p]) =>
        element("li", { class: k === focus ? "truth" : k === rival ? "rival" : "", "data-class": classes[k] }, element("span", { title: classes[k] }, known ? classes[k] : "no answer yet"), element("i", { style: `width:${p === null ? 0 : 100 * p}%` }), element("span", { "data-number": "probability" }, percent(p))),
      ),
    );
  }
}
