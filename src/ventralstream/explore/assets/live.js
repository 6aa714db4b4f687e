// The live page: asks the server for new traces when something is chosen, dropped in or dragged.

import { inflate } from "./data.js";
import { byId, choices, element } from "./dom.js";
import { prepared, put, picture } from "./colour.js";

const PATIENCE = 60; // ms that a drag waits for the next one before it asks

export class Live {
  constructor(app, options) {
    Object.assign(this, { app, options, occluder: null, image: "example-0", cut: new Set() });
    this.client = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");
  }

  async start() {
    byId("live").hidden = false;
    this.build();
    await this.ask();
  }

  build() {
    const { options } = this;
    this.model = element("select", { onchange: () => this.switched() }, ...options.models.map((m) => element("option", { value: m }, m)));
    const number = (max) => element("input", { type: "number", min: 0, max, step: 10, onchange: () => this.ask() });
    [this.on, this.soa, this.mask, this.until] = [number(2000), number(2000), number(2000), number(2000)];
    this.file = element("input", { type: "file", accept: "image/*", class: "unseen", onchange: () => this.take(this.file.files) });
    const drop = element("label", { class: "file" }, "Drop an image here, or choose a file", this.file);
    const over = (on) => (e) => {
      e.preventDefault();
      drop.classList.toggle("over-it", on);
    };
    document.addEventListener("dragover", over(true));
    document.addEventListener("dragleave", over(false));
    document.addEventListener("drop", (e) => {
      over(false)(e);
      this.take(e.dataTransfer.files);
    });
    this.covers = element("input", { type: "checkbox", onchange: () => this.cover(this.covers.checked) });
    this.side = element("input", { type: "range", min: 0.1, max: 0.9, step: 0.05, value: 0.3, "aria-label": "Side of the occluder", oninput: () => this.cover(this.covers.checked) });
    this.cuts = element("div", { class: "cuts" });
    this.status = element("p", { class: "status", role: "status" });
    const labelled = (text, input) => element("label", {}, text, input);
    byId("live").replaceChildren(
      element("div", { class: "controls" },
        labelled("Network", this.model), drop,
        labelled("Image for (ms, 0: throughout)", this.on), labelled("Mask comes on at (ms, 0: none)", this.soa), labelled("Mask for (ms)", this.mask), labelled("Until (ms)", this.until),
        element("fieldset", {}, element("span", {}, "Occluder: drag it over the image"), element("span", { class: "check" }, element("label", { class: "check" }, this.covers, "on"), this.side)),
        element("fieldset", {}, element("span", {}, "Cut, beside the network as it is"), this.cuts),
        this.status),
    );
    const screen = byId("screen");
    screen.parentElement.classList.add("live");
    const moved = (e) => {
      if (e.type === "pointermove" && !e.buttons) return;
      const box = screen.getBoundingClientRect();
      this.covers.checked = true;
      this.place = [(e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height].map((v) => Math.max(0, Math.min(1, v)));
      this.cover(true);
    };
    screen.addEventListener("pointerdown", (e) => {
      screen.setPointerCapture(e.pointerId);
      moved(e);
    });
    screen.addEventListener("pointermove", moved);
    this.place = [0.5, 0.5];
  }

  cover(on) {
    this.occluder = on ? { type: "occluder", x: this.place[0], y: this.place[1], side: Number(this.side.value) } : null;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), PATIENCE);
  }

  switched() {
    this.network = null;
    this.cut.clear();
    this.image = this.image.startsWith("upload") ? this.image : "example-0";
    this.ask();
  }

  async take(files) {
    const file = files?.[0];
    if (!file) return;
    if (file.size > this.options.most_upload) return this.say(`“${file.name}” is too large: at most ${this.options.most_upload / 1e6} MB.`, true);
    this.say(`Reading ${file.name} …`);
    const reply = await this.send("image", file, { "X-Name": encodeURIComponent(file.name) });
    if (!reply) return;
    this.image = (await reply.json()).image;
    await this.ask();
  }

  say(text, bad = false) {
    this.status.textContent = text;
    this.status.classList.toggle("bad", bad);
  }

  // Sends one request; gives its answer, or null after saying what was wrong with it, or if a newer one has come.
  async send(what, body, headers = {}, signal = undefined) {
    let reply;
    try {
      reply = await fetch(what, { method: "POST", body, headers, signal });
    } catch (error) {
      if (error.name !== "AbortError") this.say("The server does not answer: is `ventral explore` still running?", true);
      return null;
    }
    if (reply.ok) return reply;
    if (reply.status !== 409) {
      const told = await reply.json().catch(() => ({}));
      this.say(told.error ?? "The server could not do that.", true);
    }
    return null;
  }

  request() {
    const asked = { model: this.model.value, image: this.image, occluder: this.occluder, cut: [...this.cut] };
    if (!this.network) return asked; // as the network is run by default
    const steps = (input) => Math.round(Number(input.value || 0) / this.network.dt_ms);
    return { ...asked, steps: steps(this.until) + 1, on: steps(this.on), soa: steps(this.soa), mask: steps(this.mask) };
  }

  async ask() {
    this.aborter?.abort();
    this.aborter = new AbortController();
    const mine = this.aborter;
    const fresh = !this.network;
    const waiting = setTimeout(() => this.say("Running the network …"), 300);
    const reply = await this.send("trace", JSON.stringify(this.request()), { "X-Client": this.client }, mine.signal);
    const data = reply && new Uint8Array(await reply.arrayBuffer().catch(() => new ArrayBuffer(0)));
    clearTimeout(waiting);
    if (!data?.length || mine !== this.aborter) return;
    const line = data.indexOf(10);
    const header = JSON.parse(new TextDecoder().decode(data.subarray(0, line)));
    const bytes = await inflate(data.subarray(line + 1));
    if (mine !== this.aborter) return;
    const { app } = this;
    this.gallery = header.gallery;
    this.bytes = bytes;
    if (fresh) this.adopt(header.network);
    app.live = this;
    app.image = 0;
    app.show(header, bytes);
    this.say("");
    if (document.documentElement.dataset.ready) app.refresh();
    document.documentElement.dataset.traces = String(Number(document.documentElement.dataset.traces ?? 0) + 1);
  }

  // Takes over how a network is run by default, and what can be cut of it.
  adopt(network) {
    this.network = network;
    const { dt_ms: dt, steps, on } = network;
    for (const input of [this.on, this.soa, this.mask, this.until]) input.step = dt;
    Object.assign(this.on, { value: on * dt });
    Object.assign(this.soa, { value: 0 });
    Object.assign(this.mask, { value: 10 * dt });
    Object.assign(this.until, { value: (steps - 1) * dt });
    this.cuts.replaceChildren(
      ...network.cuttable.map((name) => {
        const box = element("input", { type: "checkbox", onchange: () => (box.checked ? this.cut.add(name) : this.cut.delete(name), this.ask()) });
        return element("label", { class: "check" }, box, name);
      }),
    );
  }

  // The images that can be chosen, in the place of the trace's own.
  pictures(group) {
    const { keys, names, truths, image, chosen } = this.gallery;
    const [, height, width, channels] = image.shape;
    const faces = names.map((name, i) => {
      const canvas = element("canvas");
      const at = image.at + i * height * width * channels;
      const levels = this.bytes.subarray(at, at + height * width * channels);
      put(prepared(canvas, width, height), width, height, picture({ levels, channels }), 0, 0, width, height);
      canvas.removeAttribute("style");
      return element("div", {}, canvas, element("span", {}, name));
    });
    choices(group, faces, chosen, (i) => this.choose(keys[i]), names.map((n, i) => (truths[i] ? `${n}, shows ${truths[i]}` : n)));
  }

  choose(key) {
    this.image = key;
    this.ask();
  }

  next(by) {
    const { keys } = this.gallery;
    this.choose(keys[(keys.indexOf(this.image) + by + keys.length) % keys.length]);
  }
}
