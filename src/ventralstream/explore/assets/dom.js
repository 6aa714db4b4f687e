// Elements, small groups of choices, and numbers as text.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

// Buttons of which one is chosen; arrow keys go from one to the next. `labels` are text or elements.
export function choices(group, labels, chosen, choose, names = labels) {
  const buttons = labels.map((label, i) =>
    element("button", { type: "button", role: "radio", "aria-label": typeof names[i] === "string" ? names[i] : null, onclick: () => choose(i) }, label),
  );
  group.replaceChildren(...buttons);
  group.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const at = buttons.findIndex((b) => b.getAttribute("aria-checked") === "true");
    const next = (at + by + buttons.length) % buttons.length;
    choose(next);
    buttons[next].focus();
  };
  mark(group, chosen);
  return buttons;
}

export function mark(group, chosen) {
  [...group.querySelectorAll('[role="radio"]')].forEach((button, i) => {
    button.setAttribute("aria-checked", String(i === chosen));
    button.tabIndex = i === chosen ? 0 : -1;
  });
}

export function percent(p) {
  return p === null || p === undefined ? "–" : `${(100 * p).toFixed(1)}\u00a0%`;
}

export function short(value) {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value) >= 1000 || (value !== 0 && Math.abs(value) < 0.001) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

export function ms(value) {
  return `${Math.round(value * 10) / 10}\u00a0ms`;
}

// A phrase of several names: "conv3", "conv3 and conv4", "conv1 to conv5" is never guessed.
export function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}
