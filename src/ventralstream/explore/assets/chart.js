// What charts over time share: the scale of time, steps as columns, a cursor that can be dragged.

import { svg } from "./dom.js";

export class TimeScale {
  constructor(trace, left, right) {
    Object.assign(this, { trace, left, right });
  }

  x(ms) {
    return this.left + (ms / Math.max(this.trace.last, 1e-9)) * (this.right - this.left);
  }

  ms(x) {
    return Math.max(0, Math.min(this.trace.last, ((x - this.left) / (this.right - this.left)) * this.trace.last));
  }
}

export function niceTimes(trace, most) {
  const apart = [1, 2, 5, 10, 20, 50, 100].map((k) => k * trace.dt_ms).find((d) => trace.last / d <= most) ?? trace.last;
  const found = [];
  for (let t = 0; t <= trace.last + 1e-6; t += apart) found.push(t);
  return found;
}

export function line(points) {
  return `M${points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}`;
}

// Lets the pointer set the time on a drawing whose viewBox is `width` wide.
export function draggable(drawing, width, scale, app) {
  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    app.seek(scale.ms(((event.clientX - box.left) / box.width) * width), true);
  };
  drawing.addEventListener("pointerdown", (event) => {
    drawing.setPointerCapture(event.pointerId);
    at(event);
  });
  drawing.addEventListener("pointermove", (event) => event.buttons && at(event));
}

export function cursorLine(top, bottom) {
  return svg("line", { class: "cursor", y1: top, y2: bottom, x1: 0, x2: 0 });
}
