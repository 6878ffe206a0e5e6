// The search tree: a picture to walk through with mouse or keys, and beside it the step that is selected.

const AT_FIRST = 140; // nodes that are open when the page opens
const AT_MOST = 3000; // nodes that are drawn together
const FAN = 10; // branches of a fork that are drawn until more are asked for
const ROW = 20;
const COLUMN = 46;
const HEAD_COLUMN = 84; // there are words above it
const NEXT_SHOWN = 30;

const nodes = view.nodes.map((node, number) => ({ ...node, number, children: [], isOpen: false, most: FAN }));
const roots = [];
for (const node of nodes) {
  node.isHead = node.text === undefined;
  node.depth = node.parent === null ? 0 : nodes[node.parent].depth + 1;
  (node.parent === null ? roots : nodes[node.parent].children).push(node.number);
}
for (const node of [...nodes].reverse()) {
  if (node.parent === null || !nodes[node.parent].isHead) continue;
  nodes[node.parent].is_chosen = nodes[node.parent].is_chosen || node.is_chosen; // heads learn it from what hangs on them
  nodes[node.parent].is_live = nodes[node.parent].is_live || node.is_live;
}

const rank = (number) => {
  const { is_chosen: isChosen, is_live: isLive, best } = nodes[number];
  return (isChosen ? 4 : 0) + (isLive ? 2 : 0) + (best ?? -0.5);
};
const byRank = (numbers) => [...numbers].sort((a, b) => rank(b) - rank(a) || a - b);
const shownChildren = (node) => {
  if (node.children.length <= node.most) return node.children;
  return byRank(node.children).slice(0, node.most).sort((a, b) => a - b);
};

// Opens the chosen path, then level by level as much as there is room for.
const openUpTo = (limit) => {
  for (const node of nodes) { node.isOpen = false; node.most = FAN; }
  let drawn = roots.length;
  const open = (node) => {
    const room = limit - drawn;
    if (limit > AT_FIRST) node.most = Math.max(FAN, room);
    const count = Math.min(node.children.length, node.most);
    if (node.isOpen || !count || (count > room && !node.is_chosen)) return;
    node.isOpen = true;
    drawn += count;
  };
  nodes.filter((node) => node.is_chosen).forEach(open);
  const waiting = [...roots];
  for (let place = 0; place < waiting.length; place += 1) {
    const node = nodes[waiting[place]];
    open(node);
    if (node.isOpen) waiting.push(...shownChildren(node));
  }
};

// ---------------------------------------------------------------------------------------------------------- layout

// What is drawn, each behind its parent, with depth and row: ends have a row each, forks stand in the middle of theirs.
const layout = () => {
  const drawn = [];
  const waiting = roots.map((number) => ({ node: nodes[number], depth: 0, above: null })).reverse();
  while (waiting.length && drawn.length < 2 * AT_MOST) {
    const item = waiting.pop();
    item.rows = [];
    drawn.push(item);
    if (!item.node || !item.node.isOpen) continue;
    const depth = item.depth + 1;
    const shown = shownChildren(item.node);
    const hidden = item.node.children.length - shown.length;
    if (hidden) waiting.push({ node: null, of: item.node, hidden, depth, above: item });
    for (const number of [...shown].reverse()) waiting.push({ node: nodes[number], depth, above: item });
  }
  let row = 0;
  for (const item of drawn) item.isEnd = true;
  for (const item of drawn) if (item.above) item.above.isEnd = false;
  for (const item of drawn) if (item.isEnd) { item.row = row; row += item.node && item.node.isHead ? 2 : 1; }
  for (const item of [...drawn].reverse()) {
    if (!item.isEnd) item.row = (Math.min(...item.rows) + Math.max(...item.rows)) / 2;
    if (item.above) item.above.rows = span(item.above.rows, item.row);
  }
  return drawn;
};
const span = (rows, row) => (rows.length ? [Math.min(rows[0], row), Math.max(rows[1], row)] : [row, row]);

const headColumns = Math.max(0, ...nodes.filter((node) => node.isHead).map((node) => node.depth + 1));
const left = (depth) => 18 + HEAD_COLUMN * Math.min(depth, headColumns) + COLUMN * Math.max(0, depth - headColumns);
const placeOf = (item) => [left(item.depth), 34 + ROW * item.row];

// --------------------------------------------------------------------------------------------------------- picture

const holder = document.getElementById("tree");
const map = make("div", { class: "map" });
const panel = make("div", { id: "step", "aria-live": "polite" });
let items = [];
let current = null; // the node that is selected

const excerpt = (text, most) => {
  const line = text.trim().replace(/\s+/g, " ");
  return line.length > most ? `${line.slice(0, most - 1)}…` : line || "(empty)";
};
const scoreWords = (score) => (score === null ? "not scored" : `score ${score.toFixed(2)}`);
const scoreChip = (score) => {
  const chip = make("span", { class: score === null ? "score unscored" : "score" }, score === null ? "–" : score.toFixed(2));
  if (score !== null) chip.style.setProperty("--s", score);
  return chip;
};

const paint = () => {
  hideTip();
  items = layout();
  const width = Math.max(...items.map((item) => left(item.depth))) + 170;
  const height = 34 + ROW * (Math.max(...items.map((item) => item.row)) + 1);
  const picture = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "tree", "aria-label": "Search tree" });
  for (const item of items) if (item.above) picture.append(edge(item));
  for (const item of items) picture.append(item.node ? nodePicture(item) : morePicture(item));
  map.replaceChildren(picture);
};

const edge = (item) => {
  const [x, y] = placeOf(item);
  const [fromX, fromY] = placeOf(item.above);
  const isOnPath = item.node && item.node.is_chosen;
  const isFaint = !item.node || !item.node.is_live;
  const middle = (x - fromX) / 2;
  const kind = `edge${isOnPath ? " on-path" : isFaint ? " faint" : ""}`;
  return draw("path", { class: kind, d: `M${fromX},${fromY}C${fromX + middle},${fromY} ${x - middle},${y} ${x},${y}` });
};

const treeItem = (item, label, kind, ...parts) => {
  const [x, y] = placeOf(item);
  const isFocusable = item.node ? item.node === current : false;
  const reach = draw("circle", { class: "reach", r: 10 });
  const made = draw("g", {
    role: "treeitem", class: kind, transform: `translate(${x},${y})`, tabindex: isFocusable ? 0 : -1,
    "aria-level": item.depth + 1, "aria-label": label, "aria-selected": item.node ? String(item.node === current) : null,
    "aria-expanded": item.node && item.node.children.length ? String(item.node.isOpen) : null,
  }, reach, ...parts);
  item.element = made;
  return made;
};

const nodePicture = (item) => {
  const { node } = item;
  const state = [node === current ? "selected" : "", node.is_live || node.is_chosen ? "" : "faint"].join(" ").trim();
  const label = node.isHead ? node.name : `${excerpt(node.text, 80)}, ${scoreWords(node.score)}, ${node.fate_words}`;
  const made = treeItem(item, label, state, ...(node.isHead ? headParts(node) : stepParts(node)));
  made.addEventListener("click", () => (node === current ? toggle(node) : select(node)));
  if (node.isHead) return made;
  return explain(made, excerpt(node.text, 300), () => node.facts.slice(0, 3));
};

const headParts = (node) => [
  draw("rect", { class: "head", x: -6, y: -6, width: 12, height: 12, rx: 2 }),
  draw("text", { x: -8, y: -12, class: "small" }, node.label),
  ...closedParts(node),
];

const stepParts = (node) => {
  const kind = node.fate === "length" || node.fate === "deadline" ? " cut" : "";
  const circle = draw("circle", { class: `node${node.score === null ? " unscored" : ""}${kind}`, r: 6.5, "stroke-width": 1.5 });
  if (node.score !== null) circle.style.setProperty("--s", node.score);
  const ring = node.fate === "finished" ? draw("circle", { class: "ring", r: 9 }) : null;
  const votes = node.votes.length ? draw("text", { x: 14, y: 4, class: "small" }, excerpt(node.votes.join(", "), 18)) : null;
  return [ring, circle, ...(node.isOpen || !node.children.length ? [votes] : closedParts(node))];
};

const closedParts = (node) => {
  if (node.isOpen || !node.children.length) return [];
  return [draw("text", { x: 13, y: 4, class: "small tick" }, `+${(node.num_below ?? node.children.length).toLocaleString("en")}`)];
};

const morePicture = (item) => {
  const label = `+${item.hidden.toLocaleString("en")} more`;
  const made = treeItem(item, label, "more", draw("text", { x: -4, y: 4, class: "small" }, label));
  made.addEventListener("click", () => widen(item.of));
  return made;
};

// ---------------------------------------------------------------------------------------------------------- moving

const itemOf = (node) => items.find((item) => item.node === node);

// Shows a node, whatever is closed above it.
const select = (node, isFocused = true) => {
  current = node;
  for (let up = node; up.parent !== null; up = nodes[up.parent]) {
    const above = nodes[up.parent];
    above.isOpen = true;
    if (!shownChildren(above).includes(up.number)) above.most = Infinity;
  }
  paint();
  tell(node);
  if (isFocused) focusOn(node);
};
const focusOn = (node) => {
  const found = itemOf(node);
  if (!found) return;
  found.element.focus({ preventScroll: true });
  hideTip();
  bringIntoView(placeOf(found));
};
// Scrolls the picture, never the page.
const bringIntoView = ([x, y]) => {
  if (x < map.scrollLeft + 40 || x > map.scrollLeft + map.clientWidth - 120) map.scrollLeft = x - map.clientWidth / 2;
  if (y < map.scrollTop + 30 || y > map.scrollTop + map.clientHeight - 40) map.scrollTop = y - map.clientHeight / 2;
};
const toggle = (node) => {
  if (!node.children.length) return;
  node.isOpen = !node.isOpen;
  select(node);
};
const widen = (node) => {
  node.most += 5 * FAN;
  select(node);
};

// The nearest in the same column, above or below.
const neighbour = (item, way) => {
  const same = items.filter((each) => each.depth === item.depth);
  return same[same.indexOf(item) + way];
};
const moves = {
  ArrowLeft: ({ node }) => (node.parent === null ? null : nodes[node.parent]),
  ArrowRight: ({ node }) => {
    if (!node.children.length) return null;
    node.isOpen = true;
    return nodes[byRank(node.children)[0]];
  },
  ArrowUp: (item) => neighbour(item, -1)?.node,
  ArrowDown: (item) => {
    const next = neighbour(item, 1);
    if (next && !next.node) { next.of.most += 5 * FAN; paint(); return neighbour(itemOf(item.node), 1)?.node; }
    return next?.node;
  },
  Home: () => nodes[roots[0]],
};
map.addEventListener("keydown", (event) => {
  const item = itemOf(current);
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") toggle(current);
  else if (Object.hasOwn(moves, event.key)) {
    const next = moves[event.key](item);
    if (next) select(next);
  } else return;
  event.preventDefault();
});

// ------------------------------------------------------------------------------------------------ the selected step

const tell = (node) => {
  panel.replaceChildren(...(node.isHead ? headWords(node) : stepWords(node)));
  panel.scrollTop = 0;
};
const headWords = (node) => [make("h3", {}, node.name), ...nextWords(node, "Begins with")];
const stepWords = (node) => {
  const marks = [scoreChip(node.score), node.is_chosen ? make("span", { class: "chosen-mark" }, "chosen") : null];
  const rows = node.facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  return [
    make("h3", {}, `Step ${node.depth - headsAbove(node)} `, ...marks.filter(Boolean)),
    make("div", { class: "text", dir: "auto" }, node.text.replace(/\n+$/, "") || "(empty)"),
    make("dl", { class: "facts" }, ...rows),
    ...wayWords(node),
    ...nextWords(node, "Then"),
  ];
};
const wayTo = (node) => {
  const way = [];
  for (let up = node; up.parent !== null; up = nodes[up.parent]) way.unshift(nodes[up.parent]);
  return way;
};
const headsAbove = (node) => wayTo(node).filter((each) => each.isHead).length - 1;
const wayWords = (node) => [make("h3", {}, "The way here"), list(wayTo(node))];
const nextWords = (node, title) => {
  if (!node.children.length) return [];
  const shown = byRank(node.children).slice(0, NEXT_SHOWN).map((number) => nodes[number]);
  const count = node.children.length > shown.length ? `, the best ${shown.length} of ${node.children.length}` : "";
  return [make("h3", {}, title + count), list(shown)];
};
const list = (shown) => make("ol", {}, ...shown.map((node) => {
  const words = node.isHead ? node.name : excerpt(node.text, 160);
  const mark = node.isHead ? make("span") : scoreChip(node.score);
  const go = make("button", { type: "button", class: node.is_chosen ? "go chosen" : "go" }, mark, make("span", { class: "words" }, words));
  go.addEventListener("click", () => select(node));
  return make("li", {}, go);
}));

// ----------------------------------------------------------------------------------------------------------- start

const startTree = () => {
  if (!nodes.length) {
    holder.append(make("p", { class: "soft" }, "No step was recorded."));
    return;
  }
  const chosen = nodes.filter((node) => node.is_chosen && !node.isHead);
  const last = () => chosen[chosen.length - 1] || nodes[roots[0]];
  const again = (limit) => () => { openUpTo(limit); select(last()); };
  const only = () => {
    for (const node of nodes) { node.isOpen = Boolean(node.is_chosen); node.most = FAN; }
    select(last());
  };
  const controls = make("div", { class: "filters" },
    button("As at first", again(AT_FIRST)), button("Chosen path", only), button("Open all", again(AT_MOST)),
    make("span", { class: "soft" }, "score 0 ", make("span", { class: "ramp" }), " 1; a ring: finished; dashed: cut off"));
  holder.append(controls, make("div", { class: "views" }, map, panel));
  openUpTo(AT_FIRST);
  select(last(), false);
  const found = itemOf(current);
  if (found) bringIntoView(placeOf(found));
};
startTree();
