// What happens at the cursor, in words; and the numbers of all areas.

import { byId, element, listed, ms, percent, short } from "./dom.js";
import { drawFrame } from "./graph.js";

export class Story {
  constructor(app) {
    this.app = app;
  }

  draw() {
    const { app } = this;
    const { trace, image, step } = app;
    const frame = trace.frame(image, step);
    const screen = byId("screen");
    const side = window.innerWidth <= 560 ? 96 : 148;
    drawFrame(screen, frame, side);
    const shown = this.shown(frame, step);
    screen.setAttribute("aria-label", shown);
    byId("screen-note").textContent = shown;
    byId("clock").textContent = `${ms(step * trace.dt_ms)} after the image came on`;
    byId("headline").replaceChildren(...this.headline(trace, image, step));
    byId("story").replaceChildren(...this.lines().map(([kind, text]) => element("li", { class: kind }, text)));
    if (!app.playing) byId("said").textContent = `${byId("clock").textContent}: ${byId("headline").textContent}`;
  }

  shown(frame, step) {
    const { trace } = this.app;
    const since = ms((step - frame.start) * trace.dt_ms);
    if (frame.shows === "blank") return step === frame.start && step ? "The image goes off now: a blank." : step ? `A blank, for ${since}.` : "A blank.";
    const what = frame.shows === "mask" ? "The mask" : "The image";
    return step === frame.start ? `${what} comes on now.` : `${what}, on for ${since}.`;
  }

  headline(trace, image, step) {
    const says = trace.says(image, step);
    if (!says) {
      const { first_step: first } = trace.answer;
      return [first === null ? "The image never reaches the answer." : `No answer yet: the first comes at ${ms(first * trace.dt_ms)}`];
    }
    const truth = trace.images.truths[image];
    const known = truth && trace.answer.classes.includes(truth);
    const name = element("span", { class: !known ? "" : says.name === truth ? "right" : "wrong" }, `“${says.name}”`);
    const before = trace.says(image, step - 1);
    const verb = before && before.k !== says.k ? "It changes its mind: " : before ? "It says " : "Its first answer: ";
    const verdict = !known ? "" : says.name === truth ? ", which is right" : `; it is ${/^\d/.test(truth) ? "a " : ""}${truth}`;
    return [verb, name, `, ${percent(says.p)} sure${verdict}`];
  }

  lines() {
    const { trace, other, image, step, tags } = this.app;
    const found = [];
    const fresh = trace.areas.filter((a) => a.driven[step] && !(step && a.driven[step - 1])).map((a) => a.name);
    const reached = trace.areas.filter((a) => a.driven[step]).map((a) => a.name);
    const gone = trace.areas.filter((a) => !a.driven[step] && a.driven.slice(0, step).includes(1)).map((a) => a.name);
    const waiting = trace.areas.filter((a) => !a.driven[step]).map((a) => a.name).filter((name) => !gone.includes(name));
    if (fresh.length) found.push(["new", `What was shown now arrives in ${listed(fresh)}.`]);
    if (!reached.length) found.push(["", "Nothing of the image is in the network."]);
    else if (waiting.length) found.push(["", `The image drives ${listed(reached)}; it has not reached ${listed(waiting)}.`]);
    else if (gone.length) found.push(["", `The signal has left ${listed(gone)} again; ${listed(reached)} still ${reached.length === 1 ? "carries" : "carry"} it.`]);
    else if (!fresh.length) {
      const moved = trace.areas.filter((a) => !a.same[step] && a.change?.[image]?.[step] > 0).map((a) => [a.name, a.change[image][step]]);
      moved.sort((a, b) => b[1] - a[1]);
      found.push(["", moved.length ? `Every area is driven. ${moved[0][0]} changes most, by ${percent(moved[0][1])} of its activity.` : "Every area is driven, and nothing changes any more."]);
    }
    for (const c of trace.connections) {
      if (c.cut) found.push(["cut", `${c.source} to ${c.target} is cut.`]);
      else if (c.kind === "feedback" && c.carries[step] === 2) {
        const first = c.carries.indexOf(2);
        found.push(["back", first === step ? `Feedback from ${c.source} reaches ${c.target} for the first time.` : `Feedback from ${c.source} has reached ${c.target} since ${ms(first * trace.dt_ms)}.`]);
      }
    }
    const loops = [...trace.connections.filter((c) => c.kind === "lateral" && c.carries[step] === 2 && !c.cut).map((c) => c.target), ...trace.areas.filter((a) => a.cell && !a.cell_cut && step && a.driven[step - 1]).map((a) => a.name)];
    if (loops.length) found.push(["", `${listed([...new Set(loops)])} ${loops.length === 1 ? "reads its" : "read their"} own past.`]);
    const cells = trace.areas.filter((a) => a.cell_cut).map((a) => a.name);
    if (cells.length) found.push(["cut", `The recurrence of ${listed(cells)} is cut.`]);
    const { decided, confident, threshold } = trace.answer;
    if (decided && confident[image] && step >= decided[image]) found.push(["new", step === decided[image] ? `Now it is ${100 * threshold} % sure: decided.` : `Decided at ${ms(decided[image] * trace.dt_ms)}.`]);
    if (other) {
      const says = other.says(image, other.stepAt(this.app.now));
      found.push(["back", `${tags[1]}: ${says ? `“${says.name}”, ${percent(says.p)} sure` : "no answer yet"}.`]);
    }
    return found.slice(0, 7);
  }
}

export class Numbers {
  constructor(app) {
    this.app = app;
  }

  build() {
    const { trace, other, tags } = this.app;
    const cost = trace.cost;
    const facts = [
      ["Network", `${trace.name}${trace.weights ? `, weights: ${trace.weights}` : ""}`],
      ["Unroll", `${trace.steps} steps of ${trace.dt_ms} ms; ${trace.segments.map((s) => `${s.shows} from ${ms(s.start * trace.dt_ms)}`).join(", ")}`],
      ["Parameters", cost.parameters.toLocaleString("en")],
    ];
    if (cost.flops) facts.push(["Operations", `${(cost.flops / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MFLOP for the last answer to an image; computing every area at every step would take ${(cost.flops_naive / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })}`]);
    if (other) facts.push(["Compared with", `${other.name}${other.weights ? `, weights: ${other.weights}` : ""} (“${tags[1]}”)`]);
    byId("facts").replaceChildren(...facts.flatMap(([k, v]) => [element("dt", {}, k), element("dd", {}, v)]));
    this.draw();
  }

  draw() {
    const { trace, other, image, step, now, tags } = this.app;
    const head = ["area", "channels", "cell", "first driven", "now", "mean activity", "change", ...(other ? [`mean, ${tags[1]}`] : [])];
    const rows = trace.areas.map((a) => {
      const twin = other?.byName.get(a.name);
      const cells = [
        a.shape.join(" x "),
        a.cell || "–",
        ms(a.first_step * trace.dt_ms),
        !a.exists[step] ? "not there" : a.driven[step] ? (a.same[step] ? "unchanged" : "driven") : a.driven.slice(0, step).includes(1) ? "gone again" : "waiting",
        element("span", { "data-number": "mean", "data-area": a.name }, short(a.mean?.[image][step])),
        element("span", { "data-number": "change", "data-area": a.name }, percent(a.change?.[image][step])),
        ...(other ? [short(twin?.mean?.[image][other.stepAt(now)])] : []),
      ];
      return element("tr", {}, element("th", { scope: "row" }, a.name), ...cells.map((c) => element("td", {}, c)));
    });
    byId("numbers").replaceChildren(
      element("caption", { class: "unseen" }, `Numbers by area at ${ms(step * trace.dt_ms)}`),
      element("thead", {}, element("tr", {}, ...head.map((h) => element("th", { scope: "col" }, h)))),
      element("tbody", {}, ...rows),
    );
  }
}
