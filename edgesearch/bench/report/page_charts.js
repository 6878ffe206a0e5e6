// The charts of the page, as SVG. Marks are links to the samples of their point, so the keyboard reaches them.

const SHAPES = {
  circle: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
  square: "M-4.6,-4.6H4.6V4.6H-4.6Z",
  triangle: "M0,-6L5.6,4.4H-5.6Z",
  down: "M0,6L5.6,-4.4H-5.6Z",
  diamond: "M0,-6.4L6.4,0L0,6.4L-6.4,0Z",
  plus: "M-1.9,-6H1.9V-1.9H6V1.9H1.9V6H-1.9V1.9H-6V-1.9H-1.9Z",
  cross: "M-5.6,-2.9L-2.9,-5.6L0,-2.7L2.9,-5.6L5.6,-2.9L2.7,0L5.6,2.9L2.9,5.6L0,2.7L-2.9,5.6L-5.6,2.9L-2.7,0Z",
  hexagon: "M0,-6L5.2,-3V3L0,6L-5.2,3V-3Z",
  star: "M0,-7L1.7,-2.3L6.7,-2.2L2.7,0.9L4.1,5.7L0,2.8L-4.1,5.7L-2.7,0.9L-6.7,-2.2L-1.7,-2.3Z",
};
const HATCHES = ["", "M0,8L8,0M-2,2L2,-2M6,10L10,6", "M0,4H8", "M4,0V8", "M0,8L8,0M0,0L8,8", "M0,0L8,8M-2,6L2,10M6,-2L10,2", "M0,4H8M4,0V8", "M0,2H8M0,6H8"];

const icon = (child) => draw("svg", { viewBox: "-9 -7 18 14", "aria-hidden": "true" }, child);
const words = (x, y, content, attributes = {}) => draw("text", { x, y, ...attributes }, content);
const unique = (values) => [...new Set(values)];

// A frame with scales: x and y turn values into places, `svg` takes what is drawn.
const frame = ({ title, width = 1040, height = 470, left = 58, right = 18, top = 14, bottom = 46, xs, ys, isLog }) => {
  const on = isLog ? Math.log : (value) => value;
  const [x0, x1] = [on(xs[0]), on(xs[1])];
  const area = { left, top, right: width - right, bottom: height - bottom };
  return {
    area,
    width,
    height,
    svg: draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title }),
    title,
    x: (value) => left + ((on(value) - x0) / (x1 - x0)) * (area.right - left),
    y: (value) => area.bottom - ((value - ys[0]) / (ys[1] - ys[0])) * (area.bottom - top),
  };
};

const captioned = ({ title, svg }) => make("figure", {}, make("figcaption", {}, title), svg);

const drawXAxis = ({ svg, area, x }, places, label, title) => {
  for (const place of places) {
    svg.append(draw("line", { class: "grid", x1: x(place), x2: x(place), y1: area.top, y2: area.bottom }));
    svg.append(words(x(place), area.bottom + 18, label(place), { class: "tick", "text-anchor": "middle" }));
  }
  svg.append(draw("line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }));
  svg.append(words((area.left + area.right) / 2, area.bottom + 38, title, { "text-anchor": "middle" }));
};

const drawYAxis = ({ svg, area, y }, [low, high], title) => {
  for (const place of evenTicks(100 * low, 100 * high)) {
    const height = y(place / 100);
    svg.append(draw("line", { class: "grid", x1: area.left, x2: area.right, y1: height, y2: height }));
    const label = `${Number(place.toFixed(6))}`;
    svg.append(words(area.left - 8, height + 4, label, { class: "tick", "text-anchor": "end" }));
  }
  const middle = (area.top + area.bottom) / 2;
  svg.append(words(0, 0, title, { transform: `translate(15 ${middle}) rotate(-90)`, "text-anchor": "middle" }));
};

const whisker = (plot, place, each, attributes) => {
  const [low, high] = [plot.y(each.low), plot.y(each.high)];
  const d = `M${place},${low}V${high}M${place - 3},${low}h6M${place - 3},${high}h6`;
  return draw("path", { d, fill: "none", ...attributes });
};

const path = (places) => places.map(([x, y], number) => `${number ? "L" : "M"}${x},${y}`).join("");

const markLink = (number, attributes, ...children) => {
  const point = view.points[number];
  const label = `${point.name}: accuracy ${interval(report.points[number].accuracy)}. Show its samples.`;
  const link = draw("a", { href: `#point-${number}`, "aria-label": label, ...attributes }, ...children);
  return explain(link, point.name, () => point.facts);
};

// ------------------------------------------------------------------------------------------------ label placement

const shared = (one, other) => {
  const width = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const height = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  return Math.max(0, width) * Math.max(0, height);
};
const DIRECTIONS = [[1, 0], [1, -1], [1, 1], [-1, 0], [-1, -1], [-1, 1], [0, -1], [0, 1]];

// A place for each label beside its point, as labels.py finds it.
const besidePoints = (points, widths, room) => {
  const taken = points.map(([x, y]) => ({ x: x - 6, y: y - 6, width: 12, height: 12 }));
  return points.map(([x, y], number) => {
    const size = { width: widths[number], height: 12 };
    const places = [9, 18].flatMap((gap) => DIRECTIONS.map(([dx, dy]) => ({
      x: x + dx * (gap * 0.85 + size.width / 2) - size.width / 2,
      y: y + dy * (gap * 0.6 + size.height / 2) - size.height / 2,
      ...size,
    })));
    const hidden = (place) => taken.reduce((sum, other) => sum + shared(place, other), 0)
      + 10 * (size.width * size.height - shared(place, room));
    const costs = places.map(hidden);
    const best = places[costs.indexOf(Math.min(...costs))];
    taken.push(best);
    return best;
  });
};

// Places at least a gap apart, near the wanted ones and in their order: halfway between pushing up and pushing down.
const apart = (wanted, wish, low, high) => {
  const gap = Math.min(wish, (high - low) / Math.max(1, wanted.length - 1));
  const order = wanted.map((_, number) => number).sort((a, b) => wanted[a] - wanted[b]);
  const up = pushed(wanted, order, gap, low, high);
  const down = pushed(wanted.map((place) => -place), [...order].reverse(), gap, -high, -low);
  return up.map((place, number) => (place - down[number]) / 2);
};
const pushed = (wanted, order, gap, low, high) => {
  const found = [];
  let last = low - gap;
  for (const number of order) { last = Math.max(wanted[number], last + gap); found[number] = last; }
  let limit = high;
  for (const number of [...order].reverse()) { found[number] = Math.min(found[number], limit); limit = found[number] - gap; }
  return found;
};

// ------------------------------------------------------------------------------------------------ accuracy and cost

const costChart = (holder) => {
  const engines = unique(view.points.map((each) => each.engine)).map((label) => {
    const of = view.points.find((each) => each.engine === label);
    return { label, isShown: true, icon: icon(draw("path", { class: `line c${of.colour}`, d: "M-9,0H9" })) };
  });
  const strategies = unique(view.points.map((each) => each.strategy)).map((label) => {
    const of = view.points.find((each) => each.strategy === label);
    const shape = draw("path", { d: SHAPES[of.marker], fill: "currentColor" });
    return { label, isShown: true, icon: icon(shape) };
  });
  let axis = 0;
  const place = make("div");
  const show = () => {
    const isOn = (list, label) => list.find((each) => each.label === label).isShown;
    const isShown = (number) => isOn(engines, view.points[number].engine) && isOn(strategies, view.points[number].strategy);
    place.replaceChildren(drawCosts(view.axes[axis], isShown));
  };
  const axes = choice("Cost", view.axes.map((each) => each.word), (number) => { axis = number; show(); });
  const legend = toggles("Show or hide engines and strategies", [...engines, ...strategies], show);
  holder.append(axes.group, place, legend);
  axes.press(0);
};

const drawCosts = (axis, isShown) => {
  const numbers = axis.costs.map((_, number) => number).filter((number) => axis.costs[number] !== null && isShown(number));
  if (!numbers.length) return make("p", { class: "soft" }, "No points are shown.");
  const accuracy = (number) => report.points[number].accuracy;
  const quoted = view.quoted;
  const ends = numbers.flatMap((number) => [accuracy(number).low, accuracy(number).high]);
  const ys = accuracyRange([...ends, ...quoted.map((each) => each.accuracy)]);
  const xs = padded(numbers.map((number) => axis.costs[number]));
  const title = `Accuracy against ${axis.title}`;
  const plot = frame({ title, xs, ys, isLog: true, right: quoted.length ? 320 : 18 });
  drawXAxis(plot, ticks(...xs), (value) => withUnit(value, axis.unit), axis.title);
  drawYAxis(plot, ys, "accuracy (%), 95% intervals");
  const at = (number) => [plot.x(axis.costs[number]), plot.y(accuracy(number).value)];
  drawFront(plot, axis, numbers, at);
  for (const group of groupBy(numbers, (number) => view.points[number].series)) {
    const ordered = [...group].sort((a, b) => report.points[a].n - report.points[b].n || report.points[a].budget_s - report.points[b].budget_s);
    plot.svg.append(draw("path", { class: `series c${view.points[group[0]].colour}`, d: path(ordered.map(at)) }));
  }
  for (const number of numbers) {
    plot.svg.append(whisker(plot, at(number)[0], accuracy(number), { class: `bar-of-error c${view.points[number].colour}` }));
  }
  drawLabels(plot, numbers, at);
  for (const number of numbers) plot.svg.append(drawMark(number, at(number)));
  drawQuoted(plot, quoted);
  return captioned(plot);
};

const drawFront = (plot, axis, numbers, at) => {
  const front = report.fronts.find((each) => each.axis === axis.axis);
  if (!front) return;
  const shown = numbers.filter((number) => front.points.includes(report.points[number].id));
  shown.sort((a, b) => axis.costs[a] - axis.costs[b]);
  plot.svg.append(draw("path", { class: "front", d: path(shown.map(at)) }));
  if (!shown.length) return;
  const [x, y] = at(shown[0]);
  const isHigh = y < plot.area.top + 60;
  plot.svg.append(words(Math.max(plot.area.left + 4, x - 10), isHigh ? y + 40 : y - 26, "Pareto front", { class: "faint small" }));
};

const drawMark = (number, [x, y]) => {
  const point = view.points[number];
  const attributes = { class: `mark c${point.colour}`, transform: `translate(${x} ${y})` };
  return markLink(number, attributes, draw("circle", { class: "reach", r: 11 }), draw("path", { class: "shape", d: SHAPES[point.marker] }));
};

const drawLabels = ({ svg, area }, numbers, at) => {
  const room = { x: area.left, y: area.top, width: area.right - area.left, height: area.bottom - area.top };
  const labels = numbers.map((number) => view.points[number].label);
  const places = besidePoints(numbers.map(at), labels.map((label) => 6.6 * label.length + 1), room);
  numbers.forEach((number, place) => {
    const { x, y, width } = places[place];
    const attributes = { class: `label c${view.points[number].colour}`, "text-anchor": "middle" };
    svg.append(words(x + width / 2, y + 10, labels[place], attributes));
  });
};

const drawQuoted = ({ svg, area, y }, quoted) => {
  if (!quoted.length) return;
  const x = area.right + 22;
  svg.append(words(x - 6, area.top + 2, view.quoted_title, { class: "faint small" }));
  const places = apart(quoted.map((each) => y(each.accuracy)), 15, area.top + 16, area.bottom - 6);
  quoted.forEach((each, number) => {
    svg.append(draw("circle", { class: "hollow", cx: x, cy: y(each.accuracy), r: 5 }));
    svg.append(draw("path", { class: "leader", d: `M${x + 7},${y(each.accuracy)}L${x + 16},${places[number]}` }));
    const short = each.words.length > 42 ? `${each.words.slice(0, 41)}…` : each.words;
    const label = words(x + 19, places[number] + 4, `${(100 * each.accuracy).toFixed(1)} ${short}`, { class: "faint small" });
    label.append(draw("title", {}, each.words));
    svg.append(label);
  });
};

const groupBy = (values, keyOf) => {
  const groups = new Map();
  for (const value of values) groups.set(keyOf(value), [...(groups.get(keyOf(value)) || []), value]);
  return [...groups.values()];
};

// ------------------------------------------------------------------------------------------- coverage and selection

const CURVES = [
  ["coverage", "coverage: a right one among k", "black", "circle"],
  ["weighted", "weighted vote of k", "c2", "triangle"],
  ["best_of_n", "best of k", "c0", "square"],
  ["majority", "majority vote of k", "c3", "diamond"],
];

const curveChart = (holder) => {
  const place = make("div");
  const names = report.curves.map((curve) => view.points[view.numbers[curve.point]].name);
  const show = (number) => place.replaceChildren(...drawCurve(report.curves[number], names[number]));
  if (names.length > 1) {
    const options = names.map((name, number) => make("option", { value: number, selected: number === view.curve }, name));
    const select = make("select", { "aria-label": "Point of the curve" }, ...options);
    select.addEventListener("change", () => show(Number(select.value)));
    holder.append(make("div", { class: "controls" }, select));
  }
  holder.append(place);
  show(view.curve);
};

const drawCurve = (curve, name) => {
  const lines = CURVES.filter(([field]) => curve[field]);
  const ys = accuracyRange(lines.flatMap(([field]) => curve[field].flatMap((each) => [each.low, each.high])));
  const xs = padded(curve.ks);
  const plot = frame({ title: `Coverage and selection against k: ${name}`, xs, ys, isLog: true });
  const bits = Math.max(...curve.ks).toString(2).length;
  const step = Math.ceil(bits / 9);
  const powers = Array.from({ length: bits }, (_, power) => 2 ** power).filter((_, power) => power % step === 0);
  drawXAxis(plot, powers.filter((each) => each >= xs[0] && each <= xs[1]), (k) => k.toLocaleString("en"), "k: candidates of a problem");
  drawYAxis(plot, ys, "problems (%), 95% intervals");
  for (const [field, , colour] of lines) drawBand(plot, curve.ks, curve[field], colour);
  if (curve.fit) drawFit(plot, curve);
  for (const [field, , colour, marker] of lines) drawLine(plot, curve.ks, curve[field], colour, marker);
  drawZones(plot, curve, lines);
  return [captioned(plot), curveLegend(curve, lines)];
};

const drawBand = ({ svg, x, y }, ks, estimates, colour) => {
  const above = ks.map((k, place) => [x(k), y(estimates[place].high)]);
  const below = ks.map((k, place) => [x(k), y(estimates[place].low)]).reverse();
  svg.append(draw("path", { class: `band ${colour}`, d: `${path([...above, ...below])}Z` }));
};

const drawLine = ({ svg, x, y }, ks, estimates, colour, marker) => {
  const places = ks.map((k, place) => [x(k), y(estimates[place].value)]);
  svg.append(draw("path", { class: `line ${colour}`, d: path(places) }));
  for (const [left, top] of places) {
    const shape = draw("path", { class: "shape", d: SHAPES[marker], transform: "scale(.8)" });
    svg.append(draw("g", { class: `mark ${colour}`, transform: `translate(${left} ${top})` }, shape));
  }
};

const drawFit = ({ svg, x, y, area }, { fit, ks }) => {
  const [first, last] = [Math.min(...ks), Math.max(...ks)];
  const places = Array.from({ length: 101 }, (_, number) => first * (last / first) ** (number / 100)).map((k) => {
    const height = y(Math.exp(fit.a * k ** fit.b));
    return [x(k), Math.max(area.top, Math.min(area.bottom, height))];
  });
  svg.append(draw("path", { class: "fit", d: path(places) }));
};

// A strip for each k that tells all lines at it.
const drawZones = ({ svg, x, area }, curve, lines) => {
  curve.ks.forEach((k, place) => {
    const from = place ? (x(curve.ks[place - 1]) + x(k)) / 2 : area.left;
    const to = place + 1 < curve.ks.length ? (x(curve.ks[place + 1]) + x(k)) / 2 : area.right;
    const facts = lines.map(([field, label]) => [label, interval(curve[field][place])]);
    const label = `k = ${k}: ${facts.map(([name, value]) => `${name} ${value}`).join("; ")}`;
    const box = { x: from, y: area.top, width: to - from, height: area.bottom - area.top };
    const zone = draw("rect", { class: "zone", tabindex: 0, role: "img", "aria-label": label, ...box });
    svg.append(explain(zone, `k = ${k}`, () => facts));
  });
};

const curveLegend = (curve, lines) => {
  const entry = (drawn, label) => make("span", { class: "legend" }, icon(drawn), label);
  const entries = lines.map(([, label, colour, marker]) =>
    entry(draw("path", { class: `mark-icon ${colour}`, d: SHAPES[marker], fill: "var(--c)" }), label));
  if (curve.fit) entries.push(entry(draw("path", { class: "fit", d: "M-9,0H9" }), `fit: ${view.fits[curve.point]}`));
  return make("div", { class: "legend" }, ...entries);
};

// -------------------------------------------------------------------------------------------------------- difficulty

const levelChart = (holder) => {
  const kinds = unique(report.levels.map((each) => each.kind));
  const place = make("div");
  const entries = unique(report.levels.map((each) => view.numbers[each.point])).map((number) => ({
    number,
    label: view.points[number].name,
    isShown: view.widest.includes(number),
    icon: icon(hatched(number, { x: -8, y: -6, width: 16, height: 12 })),
  }));
  let kind = 0;
  const show = () => place.replaceChildren(drawLevels(kinds[kind], entries.filter((each) => each.isShown)));
  const buttons = choice("Levels", kinds.map((each) => view.level_words[each]), (number) => { kind = number; show(); });
  holder.append(buttons.group, place, toggles("Show or hide points", entries, show));
  buttons.press(0);
};

// A bar: its colour is the engine, its hatch the strategy.
const hatched = (number, box) => {
  const point = view.points[number];
  const place = unique(view.points.map((each) => each.strategy)).indexOf(point.strategy) % HATCHES.length;
  const id = `hatch-${place}`;
  if (!document.getElementById(id)) patterns.append(draw(
    "pattern", { id, width: 8, height: 8, patternUnits: "userSpaceOnUse" }, draw("path", { class: "hatch", d: HATCHES[place] }),
  ));
  return draw("g", { class: `c${point.colour}` }, draw("rect", { ...box, fill: "var(--c)" }), draw("rect", { ...box, fill: `url(#${id})` }));
};
const patterns = draw("defs");

const drawLevels = (kind, entries) => {
  const shown = report.levels.filter((each) => each.kind === kind);
  const levels = unique(shown.map((each) => each.level));
  const title = `Accuracy by ${view.level_words[kind]}`;
  const plot = frame({ title, xs: [-0.5, levels.length - 0.5], ys: [0, 1], isLog: false });
  drawYAxis(plot, [0, 1], "accuracy (%), 95% intervals");
  const group = Math.abs(plot.x(1) - plot.x(0)) * 0.84;
  const width = group / Math.max(1, entries.length);
  levels.forEach((level, place) => {
    const here = shown.filter((each) => each.level === level);
    const sizes = unique(here.map((each) => each.num_samples));
    plot.svg.append(words(plot.x(place), plot.area.bottom + 18, level, { "text-anchor": "middle" }));
    const size = `${Math.min(...sizes)}${sizes.length > 1 ? ` to ${Math.max(...sizes)}` : ""} problems`;
    plot.svg.append(words(plot.x(place), plot.area.bottom + 34, size, { class: "faint small", "text-anchor": "middle" }));
    entries.forEach((entry, index) => {
      const found = here.find((each) => view.numbers[each.point] === entry.number);
      if (found) plot.svg.append(drawBar(plot, entry.number, found, plot.x(place) - group / 2 + index * width, width * 0.92));
    });
  });
  plot.svg.append(draw("line", { class: "axis", x1: plot.area.left, x2: plot.area.right, y1: plot.area.bottom, y2: plot.area.bottom }));
  return captioned(plot);
};

const drawBar = (plot, number, found, x, width) => {
  const y = plot.y(found.accuracy.value);
  const box = { x, y, width, height: Math.max(0.5, plot.area.bottom - y) };
  const label = `${view.points[number].name}, level ${found.level}: ${interval(found.accuracy)}. Show the point's samples.`;
  const error = whisker(plot, x + width / 2, found.accuracy, { class: "whisker", stroke: "currentColor" });
  const link = draw("a", { href: `#point-${number}`, "aria-label": label }, hatched(number, box), error);
  const facts = [["level", found.level], ["accuracy", interval(found.accuracy)], ["problems", found.num_samples]];
  return explain(link, view.points[number].name, () => facts);
};

// ------------------------------------------------------------------------------------------------------- differences

const ROWS = 30;

const differenceChart = (holder) => {
  const place = make("div");
  const seconds = unique(report.differences.map((each) => each.second));
  let second = "";
  let isLong = false;
  const show = () => {
    const all = report.differences.filter((each) => !second || each.second === second);
    const shown = isLong ? all : all.slice(0, ROWS);
    place.replaceChildren(drawDifferences(shown));
    if (all.length > shown.length) place.append(button(`Show all ${all.length}`, () => { isLong = true; show(); }));
  };
  const options = seconds.map((id) => make("option", { value: id }, `against ${view.points[view.numbers[id]].name}`));
  const select = make("select", { "aria-label": "Second point" }, make("option", { value: "" }, "against all"), ...options);
  select.addEventListener("change", () => { second = select.value; show(); });
  holder.append(make("div", { class: "controls" }, select), place);
  show();
};

const drawDifferences = (shown) => {
  const ends = shown.flatMap((each) => [each.difference.low, each.difference.high, 0]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const room = Math.max(0.05 * (high - low), 0.005);
  const xs = [low - room, high + room];
  const size = { width: 1000, height: 60 + 22 * shown.length, left: 430, right: 150, top: 8, bottom: 44 };
  const title = "Differences of accuracy on the same problems, first minus second";
  const plot = frame({ title, xs, ys: [shown.length - 0.4, -0.6], isLog: false, ...size });
  const places = evenTicks(100 * xs[0], 100 * xs[1]).map((each) => each / 100);
  drawXAxis(plot, places, (value) => `${Number((100 * value).toFixed(6))}`, "percentage points, 95% intervals; filled where zero is left out");
  plot.svg.append(draw("line", { class: "zero", x1: plot.x(0), x2: plot.x(0), y1: plot.area.top, y2: plot.area.bottom }));
  shown.forEach((each, row) => plot.svg.append(drawDifference(plot, each, row)));
  return captioned(plot);
};

const drawDifference = (plot, each, row) => {
  const { value, low, high } = each.difference;
  const name = (id) => view.points[view.numbers[id]].name;
  const middle = plot.y(row);
  const colour = low > 0 ? "c0" : high < 0 ? "c1" : "grey";
  const dot = { cx: plot.x(value), cy: middle, r: 4.5, stroke: "var(--c)", "stroke-width": 1.6, fill: colour === "grey" ? "none" : "var(--c)" };
  const pair = `${name(each.first)} − ${name(each.second)}`;
  const short = pair.length > 66 ? `${pair.slice(0, 65)}…` : pair;
  const drawn = draw(
    "g", { class: colour },
    draw("path", { d: `M${plot.x(low)},${middle}H${plot.x(high)}`, stroke: "var(--c)", "stroke-width": 2 }),
    draw("circle", dot),
    words(plot.area.left - 10, middle + 4, short, { class: "small", "text-anchor": "end" }),
    words(plot.area.right + 8, middle + 4, inPoints(each.difference), { class: "small" }),
  );
  drawn.prepend(draw("title", {}, `${pair}: ${inPoints(each.difference)} points; ${each.gains} gains, ${each.losses} losses`));
  return drawn;
};
