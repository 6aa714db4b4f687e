// The graph of areas: pictures of their activity as nodes, connections that light up as signals arrive.

import { byId, element, svg } from "./dom.js";
import { picture, prepared, put, quiet, signed } from "./colour.js";
import { value } from "./data.js";

const NARROW = 560; // px of the card below which the graph runs from top to bottom

export class Graph {
  constructor(app) {
    this.app = app;
    this.box = byId("graph");
    this.nodes = new Map();
    this.wires = [];
    new ResizeObserver(() => this.layout()).observe(this.box.parentElement);
  }

  build() {
    const { trace } = this.app;
    this.box.replaceChildren();
    this.drawing = svg("svg", { "aria-hidden": "true" });
    this.pulses = element("div", { class: "pulses", "aria-hidden": "true" });
    this.box.append(this.drawing);
    this.nodes.clear();
    for (const name of ["image", ...trace.areas.map((a) => a.name)]) {
      const isAnswer = name === trace.answer.area;
      const face = isAnswer ? element("span", { class: "says" }) : element("canvas");
      const note = element("small");
      const node = element("button", { type: "button", class: "node", onclick: () => name !== "image" && this.app.set({ area: name }) }, face, element("b", {}, name), note);
      this.box.append(node);
      this.nodes.set(name, { node, face, note, isAnswer });
    }
    this.box.append(this.pulses);
    this.width = 0;
    this.layout();
  }

  layout() {
    const { trace } = this.app;
    const width = this.box.parentElement.clientWidth;
    if (!trace || !width || width === this.width) return;
    this.width = width;
    const places = new Map([["image", [0, 0]], ...trace.areas.map((a) => [a.name, a.place])]);
    const ranks = 1 + Math.max(...[...places.values()].map(([rank]) => rank));
    const lanes = 1 + Math.max(...[...places.values()].map(([, lane]) => lane));
    const rankOf = (name) => places.get(name)[0];
    const backs = trace.connections.filter((c) => rankOf(c.source) > rankOf(c.target));
    const skips = trace.connections.filter((c) => rankOf(c.target) - rankOf(c.source) > 1 || (rankOf(c.target) === rankOf(c.source) && c.source !== c.target));
    const loops = trace.connections.some((c) => c.source === c.target) || trace.areas.some((a) => a.cell);
    const down = width < NARROW;
    const reach = (c) => Math.abs(rankOf(c.source) - rankOf(c.target));
    const rise = (list) => (list.length ? 26 + 13 * Math.max(...list.map(reach)) : 0);
    this.side = down ? 78 : Math.max(64, Math.min(96, (width - 16) / ranks - 34));
    const nodeHeight = this.side + 38;
    if (down) {
      const pitch = nodeHeight + (loops ? 34 : 30);
      const left = Math.max(24, rise(skips));
      const lanePitch = Math.max(this.side + 22, Math.min(140, (width - left - rise(backs) - this.side) / Math.max(1, lanes)));
      this.at = (name) => [left + this.side / 2 + lanePitch * places.get(name)[1] + Math.max(0, (width - left - rise(backs) - this.side - lanePitch * (lanes - 1)) / 2), 4 + nodeHeight / 2 + pitch * rankOf(name)];
      this.size = [width, pitch * (ranks - 1) + nodeHeight + 10];
    } else {
      const pitch = Math.max(this.side + 34, (width - this.side - 8) / Math.max(1, ranks - 1));
      const top = 8 + rise(backs);
      const lanePitch = nodeHeight + (loops ? 40 : 18);
      this.at = (name) => [4 + this.side / 2 + pitch * rankOf(name), top + nodeHeight / 2 + lanePitch * places.get(name)[1]];
      this.size = [pitch * (ranks - 1) + this.side + 8, top + lanePitch * (lanes - 1) + nodeHeight + Math.max(loops ? 34 : 6, rise(skips))];
    }
    Object.assign(this.box.style, { width: `${this.size[0]}px`, height: `${this.size[1]}px` });
    for (const [name, { node, face, isAnswer }] of this.nodes) {
      const [x, y] = this.at(name);
      Object.assign(node.style, { left: `${x - this.side / 2}px`, top: `${y - nodeHeight / 2}px`, width: `${this.side}px` });
      if (isAnswer) face.style.height = `${this.side - 4}px`;
    }
    this.drawWires(down, nodeHeight);
    this.app.redraw();
  }

  drawWires(down, nodeHeight) {
    const { trace } = this.app;
    const heads = ["s1", "s2", "faint", "wrong"].map((name) =>
      svg("marker", { id: `head-${name}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M0,0.6L8,4L0,7.4z", class: `head-${name}` })),
    );
    this.drawing.replaceChildren(svg("defs", {}, ...heads));
    this.pulses.replaceChildren();
    const cells = trace.areas.filter((a) => a.cell).map((a) => ({ source: a.name, target: a.name, kind: "cell", delay: 1, carries: a.driven.map((_, t) => (t && a.driven[t - 1] && a.exists[t] ? 2 : 0)), cut: a.cell_cut }));
    const loopsSeen = new Map();
    this.wires = [...trace.connections, ...cells].map((c) => {
      const nth = c.source === c.target ? loopsSeen.get(c.source) ?? 0 : 0;
      if (c.source === c.target) loopsSeen.set(c.source, nth + 1);
      const back = c.kind === "feedback";
      const path = svg("path", { d: this.path(c, down, nodeHeight, nth), class: "wire" });
      const pulses = Array.from({ length: Math.max(1, Math.min(3, c.delay)) }, () => element("span", { class: back ? "pulse back" : "pulse" }));
      this.drawing.append(path);
      this.pulses.append(...pulses);
      const wire = { c, back, path, pulses, length: path.getTotalLength() };
      if (c.cut) {
        const middle = path.getPointAtLength(wire.length / 2);
        this.drawing.append(svg("text", { x: middle.x, y: middle.y, class: "cutmark" }, "✕"));
      }
      return wire;
    });
  }

  path(c, down, nodeHeight, nth) {
    const [x0, y0] = this.at(c.source);
    const [x1, y1] = this.at(c.target);
    const [half, tall] = [this.side / 2 + 3, nodeHeight / 2 + 3];
    if (c.source === c.target) {
      const off = nth * 10;
      if (down) return `M${x0 - half},${y0 - 16 - off / 2} C${x0 - half - 26 - off},${y0 - 18} ${x0 - half - 26 - off},${y0 + 18} ${x0 - half - 1},${y0 + 15 + off / 2}`;
      return `M${x0 + 15 + off / 2},${y0 + tall} C${x0 + 19 + off},${y0 + tall + 27 + off} ${x0 - 19 - off},${y0 + tall + 27 + off} ${x0 - 15 - off / 2},${y0 + tall + 1}`;
    }
    const [a, b] = down ? [y0, y1] : [x0, x1];
    const pitch = down ? nodeHeight + 30 : this.side + 34;
    const steps = Math.max(1, Math.round(Math.abs(b - a) / pitch));
    const lift = 16 + 17 * Math.min(steps, 9);
    if (b < a) {
      if (down) return `M${x0 + half},${y0 - 8} C${x0 + half + lift},${y0 - 8} ${x1 + half + lift},${y1 + 8} ${x1 + half},${y1 + 8}`;
      return `M${x0 - 10},${y0 - tall} C${x0 - 10},${y0 - tall - lift} ${x1 + 10},${y1 - tall - lift} ${x1 + 10},${y1 - tall}`;
    }
    if (a === b) {
      if (down) return `M${x0 + Math.sign(x1 - x0) * half},${y0} L${x1 - Math.sign(x1 - x0) * half},${y1}`;
      return `M${x0},${y0 + Math.sign(y1 - y0) * tall} L${x1},${y1 - Math.sign(y1 - y0) * tall}`;
    }
    const far = this.rank(c.target) - this.rank(c.source) > 1;
    if (far && (down ? x0 === x1 : y0 === y1)) {
      if (down) return `M${x0 - half},${y0 + 8} C${x0 - half - lift},${y0 + 8} ${x1 - half - lift},${y1 - 8} ${x1 - half},${y1 - 8}`;
      return `M${x0 + 10},${y0 + tall} C${x0 + 10},${y0 + tall + lift} ${x1 - 10},${y1 + tall + lift} ${x1 - 10},${y1 + tall}`;
    }
    if (down) return `M${x0},${y0 + tall} C${x0},${y0 + tall + 14} ${x1},${y1 - tall - 14} ${x1},${y1 - tall}`;
    return `M${x0 + half},${y0} C${x0 + half + 16},${y0} ${x1 - half - 16},${y1} ${x1 - half},${y1}`;
  }

  rank(name) {
    return name === "image" ? 0 : this.app.trace.byName.get(name).place[0];
  }

  draw() {
    const { app } = this;
    const { trace, step, image, area } = app;
    for (const [name, { node, face, note, isAnswer }] of this.nodes) {
      if (name === "image") {
        const frame = trace.frame(image, step);
        drawFrame(face, frame, this.side - 4);
        note.textContent = { image: "shown", mask: "mask", blank: "blank" }[frame.shows];
        node.className = `node ${frame.shows === "blank" ? "idle" : "driven"}`;
        node.tabIndex = -1;
        continue;
      }
      const a = trace.byName.get(name);
      const says = trace.says(image, step);
      if (isAnswer) face.textContent = says ? says.name : "…";
      else this.drawPicture(face, name);
      const fresh = a.driven[step] && !(step && a.driven[step - 1]);
      const state = !a.exists[step] ? "not yet there" : !a.driven[step] ? (a.driven.indexOf(1) >= 0 && step > a.driven.indexOf(1) ? "gone again" : "waiting") : fresh ? "arrives" : a.same[step] ? "unchanged" : "changing";
      note.textContent = isAnswer && says ? `${(100 * says.p).toFixed(0)} %` : state;
      node.className = `node ${a.driven[step] ? "driven" : "idle"}${fresh ? " fresh" : ""}`;
      node.setAttribute("aria-pressed", String(name === area));
    }
    for (const { c, back, path } of this.wires) {
      const carries = c.carries[step];
      const fresh = carries === 2 && !(step && c.carries[step - 1] === 2);
      const lit = carries === 2;
      path.setAttribute("class", `wire${back ? " back" : ""}${c.cut ? " cut" : lit ? " lit" : carries ? " background" : ""}${fresh && !c.cut ? " fresh" : ""}`);
      path.setAttribute("marker-end", `url(#head-${c.cut ? "wrong" : lit ? (back ? "s2" : "s1") : "faint"})`);
    }
  }

  drawPicture(canvas, name) {
    const { app } = this;
    const side = this.side - 4;
    const found = app.pictureOf(name, app.step);
    const context = prepared(canvas, side, side);
    if (found) put(context, found.width, found.height, found.colours, 0, 0, side, side);
  }

  // Dots on their way between two steps: what left a source at this step arrives `delay` steps later.
  animate(phase) {
    const { step, moving } = this.app;
    for (const { c, path, pulses, length } of this.wires) {
      pulses.forEach((pulse, k) => {
        const arrives = c.delay ? step + c.delay - k : step;
        const along = c.delay ? (phase + k) / c.delay : phase * 2;
        const on = moving && !c.cut && along <= 1 && c.carries[arrives] === 2;
        if (on !== pulse.classList.contains("on")) pulse.classList.toggle("on", on);
        if (!on) return;
        const point = path.getPointAtLength(length * along);
        pulse.style.transform = `translate(${point.x}px, ${point.y}px)`;
      });
    }
  }
}

export function drawFrame(canvas, frame, side) {
  const context = prepared(canvas, side, side);
  if (frame.shows === "blank") {
    context.fillStyle = `rgb(${frame.colour.join(",")})`;
    context.fillRect(0, 0, side, side);
  } else {
    put(context, frame.width, frame.height, picture(frame), 0, 0, side, side);
  }
}

// The picture of an area at a step in one network, or the difference between two: {width, height, colours}.
export function areaPicture(traces, view, name, image, ms) {
  const [a, b] = traces.map((t) => (t.byName.has(name) ? t.picture(t.byName.get(name), image, t.stepAt(ms)) : null));
  if (view < 2) {
    const one = view === 0 ? a : b;
    return one && { width: one.width, height: one.height, colours: quiet(one.levels) };
  }
  if (!a || !b || a.width !== b.width || a.height !== b.height) return null;
  const most = Math.max(a.high - a.low, b.high - b.low) / 2;
  return { width: a.width, height: a.height, colours: signed((i) => value(a, i) - value(b, i), most) };
}
