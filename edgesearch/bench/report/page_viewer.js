// The samples of a point, and one sample with its candidates and search tree, in a dialog that the address leads to:
// #point-3 and #point-3-outcome-17, so that links, the back button and bookmarks work.

const viewer = document.getElementById("viewer");
const excerpts = new Map();
const PAGE_ROWS = 100;
const MAX_MAP_NODES = 600;
const STATUSES = ["correct", "wrong", "unanswered", "error"];

const excerpt = (number) => {
  if (!excerpts.has(number)) excerpts.set(number, read(`outcomes-${number}`) || { total: 0, outcomes: [] });
  return excerpts.get(number);
};
const problem = (id) => {
  if (!excerpts.has("problems")) excerpts.set("problems", read("problems") || {});
  const all = excerpts.get("problems");
  return Object.hasOwn(all, id) ? all[id] : { question: "(not in this page)", asked: null, target: "", metadata: {} };
};

const go = (hash) => { location.hash = hash; };
const closeViewer = () => { if (viewer.open) viewer.close(); };
viewer.addEventListener("close", () => {
  hideTip();
  if (/^#point-/.test(location.hash)) history.pushState(null, "", location.href.split("#")[0]);
});

const route = () => {
  const found = /^#point-(\d+)(?:-outcome-(\d+))?$/.exec(location.hash);
  if (!found || !view.points[Number(found[1])]) { closeViewer(); return; }
  hideTip();
  const number = Number(found[1]);
  if (found[2] === undefined) showPoint(number);
  else if (excerpt(number).outcomes[Number(found[2])]) showOutcome(number, Number(found[2]));
  else go(`point-${number}`);
};

const fillViewer = (title, bar, body) => {
  const heading = make("h2", { id: "viewer-title", tabindex: -1 }, title);
  const close = button("Close", closeViewer, { id: "viewer-close" });
  viewer.replaceChildren(make("div", { class: "bar" }, heading, ...bar, close), make("div", { class: "body" }, ...body));
  if (!viewer.open) viewer.showModal();
  heading.focus();
};

const facts = (pairs) => make("dl", {}, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
  .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
const status = (name) => make("span", { class: `status ${name}` }, name);
const scoreChip = (score) => {
  if (score === null || score === undefined) return make("span", { class: "score unscored", title: "not scored" }, "–");
  const chip = make("span", { class: "score", title: "the verifier's score" }, score.toFixed(2));
  chip.style.setProperty("--s", score);
  return chip;
};

// ------------------------------------------------------------------------------------------------- a point's samples

const showPoint = (number) => {
  const { outcomes, total } = excerpt(number);
  const shown = outcomes.length === total
    ? `All ${total.toLocaleString("en")} outcomes of this point are in this page.`
    : `${outcomes.length.toLocaleString("en")} of ${total.toLocaleString("en")} outcomes of this point are in this page: some `
      + "errors and unanswered ones first, then an even choice of all. The store has the rest.";
  const holder = make("div");
  const filter = (name) => listOutcomes(holder, number, outcomes.map((_, index) => index).filter((index) => !name || outcomes[index].status === name));
  const names = STATUSES.filter((name) => outcomes.some((each) => each.status === name));
  const counts = names.map((name) => `${name} (${outcomes.filter((each) => each.status === name).length})`);
  const buttons = choice("Status", [`all (${outcomes.length})`, ...counts], (index) => filter(index ? names[index - 1] : ""));
  const about = make("details", {}, make("summary", {}, "Figures of this point"), facts(view.points[number].facts));
  fillViewer(view.points[number].name, [], [about, make("h3", {}, "Samples"), make("p", { class: "soft" }, shown), buttons.group, holder]);
  buttons.press(0);
};

const listOutcomes = (holder, number, indices, most = PAGE_ROWS) => {
  const { outcomes } = excerpt(number);
  const heads = ["sample", "seed", "status", "answer", "target", "level", "right candidates", "seconds"];
  const rows = indices.slice(0, most).map((index) => {
    const each = outcomes[index];
    const of = problem(each.id);
    const link = make("a", { href: `#point-${number}-outcome-${index}`, class: "sample" }, each.id);
    const cells = [each.seed, status(each.status), each.answer ?? "", of.target, of.metadata.level ?? "",
      `${each.num_right} of ${each.num_candidates}`, each.status === "error" ? "" : withUnit(each.wall_s, "s")];
    return make("tr", {}, make("th", { scope: "row" }, link), ...cells.map((cell) => make("td", {}, cell)));
  });
  const head = make("tr", {}, ...heads.map((word) => make("th", { scope: "col" }, word)));
  holder.replaceChildren(make("table", { id: "samples" }, make("thead", {}, head), make("tbody", {}, ...rows)));
  if (indices.length > most) {
    const more = () => listOutcomes(holder, number, indices, most + 5 * PAGE_ROWS);
    holder.append(make("p", {}), button(`Show more (${(indices.length - most).toLocaleString("en")} left)`, more));
  }
};

// ------------------------------------------------------------------------------------------------------- one sample

const showOutcome = (number, index) => {
  const { outcomes } = excerpt(number);
  const outcome = outcomes[index];
  const step = (to, word) => (outcomes[to] ? make("a", { href: `#point-${number}-outcome-${to}` }, word) : null);
  const back = make("a", { href: `#point-${number}`, id: "viewer-back" }, view.points[number].name);
  const bar = [back, step(index - 1, "← previous"), step(index + 1, "next →")].filter(Boolean);
  const body = [...problemParts(outcome), ...resultParts(outcome)];
  if (outcome.candidates.length) body.push(...candidateParts(outcome), ...treeParts(outcome));
  else body.push(make("p", { class: "soft" }, "No candidates were kept."));
  body.push(elsewhere(number, outcome.id));
  fillViewer(`Sample ${outcome.id}, seed ${outcome.seed}`, bar, body);
};

const problemParts = (outcome) => {
  const of = problem(outcome.id);
  const parts = [make("h3", {}, "Problem"), make("div", { class: "text", id: "problem" }, of.question)];
  if (of.asked !== null) parts.push(make("details", {}, make("summary", {}, "As it was asked"), make("div", { class: "text" }, of.asked)));
  parts.push(facts([["target", make("b", {}, of.target)], ...Object.entries(of.metadata)]));
  return parts;
};

const resultParts = (outcome) => {
  const grades = outcome.grades.map(([grader, extraction, answer, isRight]) =>
    make("div", {}, `${grader}, ${extraction}: ${isRight === null ? "cannot tell" : isRight ? "right" : "wrong"} (${answer ?? "no answer"})`));
  const parts = [make("h3", {}, "Result"), facts([
    ["status", status(outcome.status)],
    ["chosen answer", outcome.answer === null ? "none" : make("b", { id: "answer" }, outcome.answer)],
    ["confidence", outcome.confidence === null ? null : percent(outcome.confidence)],
    ["seconds", outcome.status === "error" ? null : withUnit(outcome.wall_s, "s")],
    ["tokens drawn", outcome.tokens ? outcome.tokens.toLocaleString("en") : null],
    ["FLOPs", outcome.flops ? withUnit(outcome.flops, "FLOP") : null],
    ["ended by", outcome.finish],
    ["ran as", outcome.ran_as],
    ["graders", grades.length ? make("div", {}, ...grades) : null],
  ])];
  if (outcome.error) parts.push(make("h3", {}, "Error"), make("div", { class: "text" }, outcome.error));
  if (outcome.warnings.length) parts.push(make("h3", {}, "Warnings"), make("ul", {}, ...outcome.warnings.map((each) => make("li", {}, each))));
  return parts;
};

const readCandidate = ([position, leaf, answer, isRight, score, finish, tokens, numScored]) =>
  ({ position, leaf, answer, isRight, score, finish, tokens, numScored });
const verdict = (candidate) => {
  const [name, word] = candidate.isRight ? ["right", "✓ right"] : candidate.answer === null ? ["none", "– no answer"] : ["wrong", "✗ wrong"];
  return make("span", { class: name }, word);
};

const candidateParts = (outcome) => {
  const all = outcome.candidates.map(readCandidate);
  all.sort((a, b) => (b.position === outcome.chosen) - (a.position === outcome.chosen) || a.position - b.position);
  const count = all.length === outcome.num_candidates ? `${all.length}` : `${all.length} of ${outcome.num_candidates} in this page`;
  const open = button("Open all", () => { for (const each of list.querySelectorAll("details")) each.open = true; });
  const list = make("div", { id: "candidates" }, ...all.map((each) => candidateView(outcome, each)));
  return [make("h3", {}, `Candidates (${count}; ${outcome.num_right} right)`), open, list];
};

const candidateView = (outcome, candidate) => {
  const isChosen = candidate.position === outcome.chosen;
  const parts = [make("b", {}, `#${candidate.position}`), verdict(candidate), make("span", { class: "answer" }, candidate.answer ?? ""),
    scoreChip(candidate.score), make("span", { class: "soft" }, candidate.finish ?? ""),
    candidate.tokens === null ? null : make("span", { class: "soft" }, `${candidate.tokens} tokens`),
    isChosen ? make("span", { class: "chosen-mark" }, "chosen") : null];
  const opened = make("details", { class: "candidate" }, make("summary", {}, ...parts.filter(Boolean)));
  const build = () => {
    if (opened.open && opened.children.length === 1) opened.append(stepList(pathTo(outcome, candidate.leaf), candidate.numScored));
  };
  opened.addEventListener("toggle", build);
  opened.open = isChosen;
  build();
  return opened;
};

const pathTo = (outcome, leaf) => {
  const steps = [];
  for (let node = leaf; node >= 0; node = outcome.nodes[node][0]) steps.push(outcome.nodes[node]);
  return steps.reverse();
};
const stepText = (text) => (text.trim() ? text.replace(/\n+$/, "") : "(empty)");
const stepList = (nodes, numScored = nodes.length) => make("ol", { class: "steps" }, ...nodes.map(([, text, score], place) =>
  make("li", {}, make("span", {}, scoreChip(place < numScored ? score : null)), make("span", { class: "words" }, stepText(text)))));

// The same problem at other points; all samples of the page are read for it, so only when it is opened.
const elsewhere = (number, id) => {
  const list = make("ul");
  const opened = make("details", { id: "elsewhere" }, make("summary", {}, "The same problem at other points"), list);
  opened.addEventListener("toggle", () => {
    if (!opened.open || list.children.length) return;
    view.points.forEach((point, other) => excerpt(other).outcomes.forEach((outcome, index) => {
      if (other === number || outcome.id !== id) return;
      const link = make("a", { href: `#point-${other}-outcome-${index}` }, `${point.name}, seed ${outcome.seed}`);
      list.append(make("li", {}, link, " ", status(outcome.status), ` ${outcome.answer ?? ""}`));
    }));
    if (!list.children.length) list.append(make("li", {}, "This page has it at no other point."));
  });
  return opened;
};

// ------------------------------------------------------------------------------------------------------ search tree

const treeOf = (outcome) => {
  const tree = outcome.nodes.map(([parent, text, score]) => ({ parent, text, score, children: [], ends: [], numRight: 0, numEnds: 0, isOnPath: false }));
  const roots = [];
  tree.forEach((node, place) => (node.parent < 0 ? roots : tree[node.parent].children).push(place));
  for (const candidate of outcome.candidates.map(readCandidate)) {
    tree[candidate.leaf].ends.push(candidate);
    for (let place = candidate.leaf; place >= 0; place = tree[place].parent) {
      tree[place].numEnds += 1;
      tree[place].numRight += candidate.isRight;
      if (candidate.position === outcome.chosen) tree[place].isOnPath = true;
    }
  }
  return { tree, roots };
};

const treeParts = (outcome) => {
  const { tree, roots } = treeOf(outcome);
  const holder = make("div", { id: "tree" }, ...roots.map((place) => branchView(tree, place, tree.length <= 80)));
  const openAll = (isOpen) => () => { for (const each of holder.querySelectorAll("details")) each.open = isOpen; };
  const note = "Candidates that share steps share a path. A colour is the verifier's score of a step, from orange (0) to blue (1); "
    + "the marked path leads to the chosen candidate.";
  const controls = make("div", { class: "filters" }, button("Open all", openAll(true)), button("Close all", openAll(false)));
  const map = tree.length <= MAX_MAP_NODES ? treeMap(tree, roots) : null;
  return [make("h3", {}, `Search tree (${tree.length} steps)`), make("p", { class: "soft" }, note), map, controls, holder];
};

// Steps without a fork are one branch.
const branchView = (tree, first, isOpen) => {
  const chain = [first];
  const last = () => tree[chain[chain.length - 1]];
  while (last().children.length === 1 && !last().ends.length) chain.push(last().children[0]);
  const head = tree[first];
  const excerpt = [scoreChip(head.score), stepText(head.text).split("\n")[0].slice(0, 60)];
  const summary = make("summary", {}, make("span", { class: "soft" }, `${head.numRight} of ${head.numEnds} right`),
    make("span", { class: "excerpt" }, ...excerpt));
  const branch = make("details", { class: head.isOnPath ? "branch on-path" : "branch", "data-node": first }, summary);
  branch.open = isOpen || head.isOnPath;
  const list = stepList(chain.map((place) => [0, tree[place].text, tree[place].score]));
  [...list.children].forEach((item, place) => { item.id = `node-${chain[place]}`; });
  const ends = groupBy(last().ends, (each) => `${each.isRight} ${each.answer}`);
  branch.append(list, ...ends.map(leafView), ...last().children.map((place) => branchView(tree, place, isOpen)));
  return branch;
};
const leafView = (same) => {
  const names = same.map((each) => `#${each.position}`).join(", ");
  return make("p", { class: "leaf" }, verdict(same[0]), ` ${same[0].answer ?? ""} `, make("span", { class: "soft" }, `(${names})`));
};

// The tree as a picture, from left to right; a node leads to its step below.
const treeMap = (tree, roots) => {
  const places = layout(tree, roots);
  const width = 60 + 46 * Math.max(...places.map(([depth]) => depth)) + 130;
  const height = 24 + 18 * Math.max(1, ...places.map(([, row]) => row + 1));
  const at = ([depth, row]) => [46 + 46 * depth, 20 + 18 * row];
  const root = [14, 20 + 18 * (roots.reduce((sum, place) => sum + places[place][1], 0) / roots.length)];
  const picture = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Search tree" });
  tree.forEach((node, place) => {
    const [x, y] = at(places[place]);
    const [fromX, fromY] = node.parent < 0 ? root : at(places[node.parent]);
    const d = `M${fromX},${fromY}C${fromX + 22},${fromY} ${x - 22},${y} ${x},${y}`;
    const edge = draw("path", { class: node.isOnPath ? "edge on-path" : "edge", d });
    picture.prepend(edge);
    picture.append(mapNode(node, place, x, y));
    if (node.ends.length && !node.children.length) picture.append(mapEnd(node, x, y));
  });
  picture.append(draw("circle", { cx: root[0], cy: root[1], r: 4, class: "node unscored" }));
  return make("div", { class: "map", tabindex: 0, role: "region", "aria-label": "Picture of the search tree" }, picture);
};

// Depth and row of every node: ends are one row each, forks in the middle of theirs.
const layout = (tree, roots) => {
  const places = [];
  let row = 0;
  const visit = (place, depth) => {
    const { children } = tree[place];
    children.forEach((child) => visit(child, depth + 1));
    const rows = children.map((child) => places[child][1]);
    places[place] = [depth, rows.length ? (rows[0] + rows[rows.length - 1]) / 2 : row];
    if (!rows.length) row += 1;
  };
  roots.forEach((place) => visit(place, 0));
  return places;
};

const mapNode = (node, place, x, y) => {
  const circle = draw("circle", { class: node.score === null ? "node unscored" : "node", cx: x, cy: y, r: 6.5, "stroke-width": 1.5 });
  if (node.score !== null) circle.style.setProperty("--s", node.score);
  const score = node.score === null ? "not scored" : `score ${node.score.toFixed(2)}`;
  const link = draw("a", { href: "#", class: "map-node", "aria-label": `Step: ${stepText(node.text).slice(0, 80)}, ${score}` }, circle);
  link.addEventListener("click", (event) => { event.preventDefault(); reveal(place); });
  const shown = () => [["score", score], ["candidates", `${node.numEnds}, ${node.numRight} right`]];
  return explain(link, stepText(node.text).slice(0, 300), shown);
};

const mapEnd = (node, x, y) => {
  const isRight = node.ends.some((each) => each.isRight);
  const answer = node.ends[0].answer;
  const name = isRight ? "right" : answer === null ? "none" : "wrong";
  const word = `${isRight ? "✓" : answer === null ? "–" : "✗"} ${(answer ?? "no answer").slice(0, 14)}`;
  const times = node.ends.length > 1 ? ` ×${node.ends.length}` : "";
  const text = words(x + 12, y + 4, word + times, { class: `small ${name}` });
  text.style.fill = `var(--${isRight ? "right" : answer === null ? "soft" : "wrong"})`;
  return text;
};

const reveal = (place) => {
  const step = document.getElementById(`node-${place}`);
  for (let up = step.parentElement; up; up = up.parentElement.closest("details")) if (up.tagName === "DETAILS") up.open = true;
  step.scrollIntoView({ block: "center" });
  step.tabIndex = -1;
  step.focus();
};
