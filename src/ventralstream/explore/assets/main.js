// The page: its state (time, image, area, view) and what draws it.

import { Activity } from "./activity.js";
import { Answer } from "./answer.js";
import { prepared, put, picture, readColours } from "./colour.js";
import { fromBase64, inflate, Trace } from "./data.js";
import { byId, choices, element, mark, svg } from "./dom.js";
import { Film } from "./film.js";
import { areaPicture, Graph } from "./graph.js";
import { Live } from "./live.js";
import { Maps } from "./maps.js";
import { Neural } from "./neural.js";
import { Numbers, Story } from "./story.js";
import { Transport } from "./transport.js";

class App {
  constructor() {
    Object.assign(this, { traces: [], tags: [], image: 0, area: null, view: 0, now: 0, step: 0, playing: false, dirty: true });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  // The trace that pictures and words are of, and the one beside it. A difference is of the first minus the second.
  get trace() {
    return this.view === 1 ? this.traces[1] : this.traces[0];
  }

  get other() {
    return this.view === 1 ? this.traces[0] : this.traces[1];
  }

  get differs() {
    return this.view === 2;
  }

  get moving() {
    return this.playing && !this.still.matches;
  }

  pictureOf(name, step) {
    const ms = step * this.trace.dt_ms;
    if (this.differs) return areaPicture(this.traces, 2, name, this.image, ms);
    return areaPicture([this.trace], 0, name, this.image, ms);
  }

  seek(ms, byHand = false) {
    if (byHand && this.playing) {
      this.playing = false;
      this.transport.show();
    }
    this.now = Math.max(0, Math.min(this.trace.last + this.trace.dt_ms * 0.999, ms));
    const step = this.trace.stepAt(this.now);
    if (step !== this.step) {
      this.step = step;
      this.dirty = true;
    }
    this.later();
  }

  redraw() {
    this.dirty = true;
    this.later();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    if (this.dirty) {
      this.dirty = false;
      for (const part of this.parts) part.draw?.();
      if (!this.playing) this.remember();
    }
    this.graph.animate((this.now - this.step * this.trace.dt_ms) / this.trace.dt_ms);
  }

  set(changes) {
    Object.assign(this, changes);
    if ("view" in changes || "image" in changes) {
      this.views();
      this.step = this.trace.stepAt(this.now);
      this.pictures();
      this.build();
    } else this.maps.build();
    this.redraw();
  }

  nextImage(by) {
    if (this.live) return this.live.next(by);
    const count = this.trace.images.names.length;
    this.set({ image: (this.image + by + count) % count });
  }

  nextArea(by) {
    const names = this.trace.areas.map((a) => a.name);
    this.set({ area: names[(names.indexOf(this.area) + by + names.length) % names.length] });
  }

  nextView() {
    if (this.traces.length > 1) this.set({ view: (this.view + 1) % 3 });
  }

  build() {
    if (!this.trace.byName.has(this.area)) this.area = this.trace.areas[Math.floor(this.trace.areas.length / 2)].name;
    byId("title").textContent = this.title;
    byId("about").textContent = `${this.trace.steps} steps of ${this.trace.dt_ms} ms, ${this.trace.cost.parameters.toLocaleString("en")} parameters`;
    this.graph.build();
    this.maps.tabs();
    for (const part of [this.transport, this.answer, this.activity, this.film, this.maps, this.numbers, this.neural]) part.build();
  }

  views() {
    const group = byId("views");
    group.hidden = this.traces.length < 2;
    if (!group.hidden) choices(group, [...this.tags, "difference"], this.view, (i) => this.set({ view: i }));
  }

  pictures() {
    const group = byId("images");
    if (this.live) return this.live.pictures(group);
    const { names, truths } = this.trace.images;
    const faces = names.map((name, i) => {
      const canvas = element("canvas");
      const pixels = this.trace.pixels(i);
      put(prepared(canvas, pixels.width, pixels.height), pixels.width, pixels.height, picture(pixels), 0, 0, pixels.width, pixels.height);
      canvas.removeAttribute("style");
      return element("div", {}, canvas, element("span", {}, name));
    });
    choices(group, faces, this.image, (i) => this.set({ image: i }), names.map((n, i) => (truths[i] ? `${n}, shows ${truths[i]}` : n)));
    mark(group, this.image);
  }

  legend() {
    const item = (text, ...shapes) => element("li", {}, svg("svg", { viewBox: "0 0 30 14", "aria-hidden": "true" }, ...shapes), text);
    const wire = (kind) => svg("path", { d: "M0,7H29", class: `wire ${kind}` });
    const all = this.traces.flatMap((t) => t.connections);
    const items = [item("carries what was shown", wire("lit"))];
    if (all.some((c) => c.kind === "feedback")) items.push(item("feedback", wire("lit back")));
    if (all.some((c) => c.carries.includes(1))) items.push(item("carries nothing of it", wire("background")));
    if (all.some((c) => c.cut) || this.traces.some((t) => t.areas.some((a) => a.cell_cut))) items.push(item("cut", wire("cut")));
    byId("flow-legend").replaceChildren(...items);
  }

  remember() {
    const hash = `#image=${this.image}&ms=${Math.round(this.step * this.trace.dt_ms * 10) / 10}&area=${encodeURIComponent(this.area)}${this.view ? `&view=${this.view}` : ""}`;
    if (location.hash !== hash) history.replaceState(null, "", location.search + hash);
  }

  recall() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const whole = (key, below) => Math.max(0, Math.min(below - 1, parseInt(asked.get(key) ?? "0", 10) || 0));
    this.view = whole("view", this.traces.length > 1 ? 3 : 1);
    this.image = whole("image", this.trace.images.names.length);
    this.area = asked.get("area");
    this.now = Math.max(0, Number(asked.get("ms")) || 0);
    this.step = this.trace.stepAt(this.now);
    return asked.has("ms");
  }

  // Takes what there is to show: {traces, title, neural} and the block that it lies in.
  show(header, bytes) {
    this.traces = header.traces.map((t) => new Trace(t, bytes));
    this.tags = header.tags ?? this.traces.map((t) => t.name);
    this.title = header.title ?? this.traces[0].name;
    this.brain = header.neural ?? null;
    this.view = Math.min(this.view, this.traces.length > 1 ? 2 : 0);
    this.image = Math.min(this.image, this.trace.images.names.length - 1);
  }

  refresh() {
    this.step = this.trace.stepAt(this.now);
    this.views();
    this.pictures();
    this.legend();
    this.build();
    this.redraw();
  }
}

async function begin() {
  const app = new App();
  window.explorer = app;
  readColours();
  const header = JSON.parse(byId("header").textContent);
  app.parts = [
    (app.transport = new Transport(app)),
    (app.story = new Story(app)),
    (app.graph = new Graph(app)),
    (app.answer = new Answer(app)),
    (app.activity = new Activity(app)),
    (app.film = new Film(app)),
    (app.maps = new Maps(app)),
    (app.neural = new Neural(app)),
    (app.numbers = new Numbers(app)),
  ];
  const live = header.live ? new Live(app, header.live) : null;
  if (live) await live.start();
  else app.show(header, await inflate(fromBase64(byId("block").textContent.trim())));
  const told = app.recall();
  app.refresh();
  app.draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColours();
    app.refresh();
  });
  document.documentElement.dataset.ready = "yes";
  if (!told && !app.still.matches) app.transport.play(true);
}

begin();
