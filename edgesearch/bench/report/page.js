// Starts the page: charts, sortable tables, and the samples that the address asks for.

const makeSortable = (table) => {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const word = head.textContent;
    head.replaceChildren(button(word, () => sortBy(body, heads, column)));
    head.firstChild.removeAttribute("class");
  });
};

// Falling first; cells without a value last, whichever way.
const sortBy = (body, heads, column) => {
  const isFalling = heads[column].getAttribute("aria-sort") !== "descending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", isFalling ? "descending" : "ascending");
  const sign = isFalling ? -1 : 1;
  const keyed = [...body.rows].map((row) => {
    const cell = row.cells[column];
    return { row, text: cell.textContent, value: cell.dataset.sort === undefined ? null : Number(cell.dataset.sort) };
  });
  const compare = (a, b) => {
    if (!a.text || !b.text) return (b.text ? 1 : 0) - (a.text ? 1 : 0);
    if (a.value !== null && b.value !== null) return sign * (a.value - b.value);
    return sign * a.text.localeCompare(b.text, "en", { numeric: true });
  };
  body.append(...keyed.sort(compare).map(({ row }) => row));
};

const CHARTS = { costs: costChart, curves: curveChart, levels: levelChart, differences: differenceChart };

const start = () => {
  document.body.append(draw("svg", { width: 0, height: 0, "aria-hidden": "true" }, patterns));
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("[data-chart]").forEach((holder) => CHARTS[holder.dataset.chart](holder));
  addEventListener("hashchange", route);
  addEventListener("popstate", route);
  route();
};
start();
