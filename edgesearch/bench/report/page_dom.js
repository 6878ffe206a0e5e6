"use strict";
// What the other scripts share: data, elements, tooltips, numbers. All text from a run goes in as text, never as markup.

const read = (id) => {
  const found = document.getElementById(id);
  return found ? JSON.parse(found.textContent) : null;
};
const report = read("report");
const view = read("view");

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const button = (label, onClick, attributes = {}) => {
  const made = make("button", { type: "button", class: "plain", ...attributes }, label);
  made.addEventListener("click", onClick);
  return made;
};

// A group of buttons of which one is pressed; tells which.
const choice = (label, words, onChoose) => {
  const buttons = words.map((word, number) => button(word, () => press(number)));
  const press = (number) => {
    buttons.forEach((each, place) => each.setAttribute("aria-pressed", place === number));
    onChoose(number);
  };
  const group = make("div", { class: "controls", role: "group", "aria-label": label }, ...buttons);
  return { group, press };
};

// Buttons that show and hide what they name.
const toggles = (label, entries, onChange) => {
  const made = entries.map((entry) => {
    const one = button("", () => {
      entry.isShown = !entry.isShown;
      one.setAttribute("aria-pressed", entry.isShown);
      onChange();
    }, { "aria-pressed": String(entry.isShown) });
    one.append(entry.icon, entry.label);
    return one;
  });
  return make("div", { class: "legend", role: "group", "aria-label": label }, ...made);
};

// -------------------------------------------------------------------------------------------------------- tooltips

const tip = make("div", { class: "tip", role: "tooltip", hidden: true });

const showTip = (near, title, facts) => {
  const rows = facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  tip.replaceChildren(make("strong", {}, title), make("dl", {}, ...rows));
  (near.closest("dialog") || document.body).append(tip); // a dialog lies above all that is outside of it
  tip.hidden = false;
  const box = near.getBoundingClientRect();
  const right = box.right + 10 + tip.offsetWidth < innerWidth ? box.right + 10 : box.left - 10 - tip.offsetWidth;
  tip.style.left = `${Math.max(4, right)}px`;
  tip.style.top = `${Math.max(4, Math.min(box.top, innerHeight - tip.offsetHeight - 4))}px`;
};
const hideTip = () => { tip.hidden = true; };

const explain = (element, title, facts) => {
  for (const event of ["pointerenter", "focus"]) element.addEventListener(event, () => showTip(element, title, facts()));
  for (const event of ["pointerleave", "blur"]) element.addEventListener(event, hideTip);
  return element;
};
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
addEventListener("scroll", hideTip, { capture: true, passive: true });

// --------------------------------------------------------------------------------------------------------- numbers

// With one digit; quarters are the only ties there are, and go to the even digit as in the tables.
const tenths = (value) => (Math.abs((4 * value) % 4) === 1 ? value - Math.sign(value) * 0.01 : value).toFixed(1);
const percent = (share) => `${tenths(100 * share)}%`;
const interval = (each) => `${percent(each.value)} (${tenths(100 * each.low)} to ${tenths(100 * each.high)})`;
const signed = (share) => `${share < 0 ? "" : "+"}${tenths(100 * share)}`;
const inPoints = (each) => `${signed(each.value)} (${signed(each.low)} to ${signed(each.high)})`;
const digits = (value) => (Math.abs(value) < 999.5 ? String(Number(value.toPrecision(3))) : value.toFixed(0));
const PREFIXES = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

const withUnit = (value, unit) => {
  if (unit === "$") return `$${digits(value)}`;
  if (unit === "s" && value > 0 && value < 1e-3) return `${digits(value * 1e6)} µs`;
  if (unit === "s") return value > 0 && value < 1 ? `${digits(value * 1e3)} ms` : `${digits(value)} s`;
  const [size, prefix] = PREFIXES.find(([each]) => Math.abs(value) >= 0.9995 * each) || [1, ""];
  return `${digits(value / size)} ${prefix}${unit}`.trimEnd();
};

// Round numbers on a logarithmic axis, as looks.py has them.
const ticks = (low, high) => {
  if (high / low < 8) return evenTicks(low, high);
  const factors = high / low > 3e3 ? [1] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of factors) found.push(factor * 10 ** power);
  }
  return found.filter((each) => low <= each && each <= high);
};
const evenTicks = (low, high) => {
  const rough = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((each) => each >= rough);
  const found = [];
  for (let place = Math.ceil(low / step); place <= Math.floor(high / step); place += 1) found.push(place * step);
  return found;
};
const padded = (values) => {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = Math.max((high / low) ** 0.06, 1.04);
  return [low / room, high * room];
};
const accuracyRange = (ends) => {
  const low = Math.min(...ends);
  const high = Math.max(...ends);
  const room = Math.max(0.06 * (high - low), 0.01);
  return [Math.max(0, low - room), Math.min(1, high + room)];
};
