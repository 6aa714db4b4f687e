// The one cursor in time: plays, pauses, steps; slider, buttons and keys.

import { niceTimes } from "./chart.js";
import { byId, element, ms, svg } from "./dom.js";

const SPEEDS = [["slow", 15], ["normal", 40], ["fast", 120]]; // ms of the network in a second
const [PLAY, PAUSE] = ["M4,2L16,9L4,16z", "M3,2h4v14H3zM11,2h4v14h-4z"];
const HOLD = 900; // ms that the last step stands before it starts again

export class Transport {
  constructor(app) {
    this.app = app;
    this.frames = 0;
    byId("play").onclick = () => this.toggle();
    byId("back").onclick = () => this.by(-1);
    byId("forward").onclick = () => this.by(1);
    byId("time").addEventListener("input", (e) => app.seek(Number(e.target.value), true));
    byId("speed").append(...SPEEDS.map(([name, rate], i) => element("option", { value: rate, selected: i === 1 }, name)));
    document.addEventListener("keydown", (e) => this.key(e));
    this.show();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.target.tagName === "INPUT" && event.target.type !== "range") return;
    const { app } = this;
    const act = {
      " ": () => event.target.tagName !== "BUTTON" && (this.toggle(), true),
      ArrowLeft: () => (this.by(-1), true),
      ArrowRight: () => (this.by(1), true),
      Home: () => (app.seek(0, true), true),
      End: () => (app.seek(app.trace.last, true), true),
      ",": () => (app.nextImage(-1), true),
      ".": () => (app.nextImage(1), true),
      "[": () => (app.nextArea(-1), true),
      "]": () => (app.nextArea(1), true),
      c: () => (app.nextView(), true),
    }[event.key];
    if (act && act()) event.preventDefault();
  }

  by(steps) {
    const { app } = this;
    app.seek((app.step + steps) * app.trace.dt_ms, true);
  }

  toggle() {
    if (this.app.playing) this.pause();
    else this.play();
  }

  play(once = false) {
    const { app } = this;
    app.playing = true;
    this.once = once;
    this.held = 0;
    if (app.now >= app.trace.last - 1e-6) app.now = 0;
    this.from = performance.now();
    this.show();
    requestAnimationFrame((t) => this.tick(t));
  }

  pause() {
    this.app.playing = false;
    this.app.seek(this.app.step * this.app.trace.dt_ms);
    this.show();
  }

  tick(time) {
    const { app } = this;
    if (!app.playing) return;
    const passed = Math.max(0, Math.min(100, time - this.from));
    this.from = time;
    this.frames += 1;
    const end = app.trace.last + app.trace.dt_ms * 0.999;
    if (app.now < app.trace.last) app.seek(Math.min(end, app.now + (passed / 1000) * Number(byId("speed").value)));
    else if ((this.held += passed) > HOLD) {
      if (this.once) return this.pause();
      this.held = 0;
      app.seek(0);
    }
    requestAnimationFrame((t) => this.tick(t));
  }

  show() {
    const { playing } = this.app;
    const button = byId("play");
    button.replaceChildren(svg("svg", { viewBox: "0 0 18 18", "aria-hidden": "true" }, svg("path", { d: playing ? PAUSE : PLAY })));
    button.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  build() {
    const { trace } = this.app;
    const time = byId("time");
    Object.assign(time, { min: 0, max: trace.last, step: trace.dt_ms });
    const part = (step) => (100 * Math.min(step, trace.steps - 1)) / Math.max(1, trace.steps - 1);
    byId("segments").replaceChildren(...trace.segments.map((s) => element("span", { class: s.shows, style: `left:${part(s.start)}%;width:${Math.max(0.5, part(s.stop) - part(s.start))}%` }, s.shows)));
    const narrow = byId("ticks").clientWidth < 420;
    const ticks = niceTimes(trace, narrow ? 4 : 10).map((t) => [t, String(t), ""]);
    byId("ticks").replaceChildren(...ticks.map(([t, text, kind]) => element("span", { class: kind, style: `left:${part(t / trace.dt_ms)}%` }, text)));
  }

  draw() {
    const { trace, step } = this.app;
    const time = byId("time");
    const now = step * trace.dt_ms;
    time.value = now;
    time.setAttribute("aria-valuetext", ms(now));
    byId("now").textContent = ms(now);
  }
}
