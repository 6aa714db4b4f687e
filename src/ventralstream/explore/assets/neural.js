// Neurons beside units: recorded responses and the network's prediction, scores under their ceiling, dissimilarities.

import { cursorLine, draggable, line } from "./chart.js";
import { prepared, put, quiet } from "./colour.js";
import { byId, element, ms, short, svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [360, 216, 48, 10, 28, 34];

export class Neural {
  constructor(app) {
    this.app = app;
    this.neuron = 0;
  }

  build() {
    const { app } = this;
    const { brain } = app;
    byId("neurons").hidden = !brain;
    if (!brain) return;
    this.middles = brain.bins.map(([a, b]) => (a + b) / 2);
    const known = Object.keys(brain.areas).filter((name) => brain.areas[name].predicted);
    this.area = known.includes(app.area) ? app.area : known[known.length - 1];
    const mine = brain.areas[this.area];
    this.scale = {
      x: (t) => LEFT + ((t - this.middles[0]) / Math.max(1e-9, this.middles[this.middles.length - 1] - this.middles[0])) * (WIDTH - LEFT - RIGHT),
      ms: (x) => this.middles[0] + ((x - LEFT) / (WIDTH - LEFT - RIGHT)) * (this.middles[this.middles.length - 1] - this.middles[0]),
    };
    const select = element("select", { "aria-label": "Neuron", onchange: () => ((this.neuron = Number(select.value)), this.build()) }, ...brain.neurons.map((n, i) => element("option", { value: i, selected: i === this.neuron }, `neuron ${n} (r at most ${short(brain.neuron_ceilings[i])})`)));
    const response = [
      { values: brain.measured[app.image][this.neuron], role: "neuron", text: "recorded" },
      { values: mine.predicted[app.image][this.neuron], role: "model", text: "predicted" },
    ];
    const scores = [
      { values: brain.ceiling, role: "ceiling", text: "ceiling" },
      { values: mine.r, role: "model", text: this.area },
    ];
    this.cursors = [];
    this.matrices = [element("canvas", { role: "img" }), element("canvas", { role: "img" })];
    const { neurons, stimuli, repetitions } = brain.counts;
    byId("neural").replaceChildren(
      element("p", { class: "hint" }, `${brain.name}: ${neurons} neurons, ${stimuli} images, ${repetitions} repetitions. Responses are predicted from ${this.area} by a ridge regression fitted to other images; choose another area to change that.`),
      element("div", { class: "panels" },
        element("div", {}, element("h3", {}, "Response to this image"), select, this.chart(response, "Response over time", "psth")),
        element("div", {}, element("h3", {}, "Prediction of all neurons, r (median)"), this.chart(scores, "Median correlation of predicted and recorded responses over time, with its ceiling", "r")),
        element("div", {}, element("h3", {}, `Dissimilarity of ${brain.rdm_side} images: neurons`), this.matrices[0]),
        element("div", {}, element("h3", {}, `The same: ${this.area}`), this.matrices[1]),
        element("div", {}, element("h3", {}, "How alike the two are (Spearman)"), this.chart([{ values: mine.alike, role: "model", text: "" }], "Rank correlation of the dissimilarities over time", "alike")),
      ),
    );
    this.draw();
  }

  chart(curves, label, name) {
    const all = curves.flatMap((c) => c.values).filter((v) => v !== null);
    let [low, high] = [Math.min(0, ...all), Math.max(...all)];
    if (!(high > low)) high = low + 1;
    const y = (v) => HEIGHT - BOTTOM - ((v - low) / (high - low)) * (HEIGHT - BOTTOM - TOP);
    const parts = [low, high].map((v) => svg("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, short(v)));
    parts.push(svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(Math.max(low, 0)), y2: y(Math.max(low, 0)) }));
    for (const t of [this.middles[0], this.middles[this.middles.length - 1]]) parts.push(svg("text", { x: this.scale.x(t), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, String(t)));
    parts.push(svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "ms from image onset"));
    curves.forEach(({ values, role, text }, i) => {
      const points = values.map((v, t) => (v === null ? null : [this.scale.x(this.middles[t]), y(v)])).filter(Boolean);
      if (points.length) parts.push(svg("path", { class: role, d: line(points) }));
      if (text) parts.push(svg("text", { class: role, x: LEFT + 8 + 96 * i, y: 14 }, text));
    });
    const cursor = cursorLine(TOP, HEIGHT - BOTTOM);
    const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts, cursor);
    draggable(drawing, WIDTH, this.scale, this.app);
    const now = element("p", { class: "hint", "data-neural": name });
    this.cursors.push({ cursor, now, curves });
    return element("div", {}, drawing, now);
  }

  // The time bin in which the cursor stands, or the nearest one.
  bin() {
    const { bins } = this.app.brain;
    const at = this.app.step * this.app.trace.dt_ms;
    const inside = bins.findIndex(([a, b]) => at >= a && at < b);
    return inside >= 0 ? inside : at < bins[0][0] ? 0 : bins.length - 1;
  }

  draw() {
    const { brain } = this.app;
    if (!brain || !this.cursors) return;
    const known = Boolean(brain.areas[this.app.area]?.predicted);
    if (known && this.app.area !== this.area) return this.build();
    const t = this.bin();
    for (const { cursor, now, curves } of this.cursors) {
      const x = this.scale.x(this.middles[t]);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      now.textContent = `${ms(brain.bins[t][0])} to ${ms(brain.bins[t][1])}: ${curves.map((c) => `${c.text} ${short(c.values[t])}`.trim()).join(", ")}`;
    }
    [brain.rdm[t], brain.areas[this.area].rdm[t]].forEach((values, i) => {
      const side = Math.min(252, this.matrices[i].parentElement.clientWidth || 240);
      const n = brain.rdm_side;
      put(prepared(this.matrices[i], side, side), n, n, (k) => (values[k] < 0 ? 0 : quiet([Math.round(2.55 * values[k])])(0)), 0, 0, side, side);
      this.matrices[i].setAttribute("aria-label", `Dissimilarities of ${i ? this.area : "the neurons"} at ${ms(brain.bins[t][0])}, as percentiles`);
    });
  }
}
