// Tables sort at once by a button in each heading, and filter as one types. Without this script the
// pages say the same: a server sorts by links and filters by a form.
(() => {
  "use strict";

  const value = (row, column, kind) => {
    const cell = row.cells[column];
    if (!cell) return null;
    const text = (cell.dataset.value ?? cell.textContent).trim();
    if (kind === "name") return text.toLowerCase();
    const number = parseFloat(text.replace("\u2212", "-").replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };

  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);

  const sort = (table, heading, say) => {
    const row = heading.parentElement;
    const column = [...row.cells].indexOf(heading);
    const kind = heading.dataset.sort;
    const first = kind === "name" || column === 0 ? "ascending" : "descending";
    const other = first === "ascending" ? "descending" : "ascending";
    const way = heading.getAttribute("aria-sort") === first ? other : first;
    for (const cell of row.cells) cell.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", way);
    const body = table.tBodies[0];
    const rows = [...body.rows].map((line) => [value(line, column, kind), line]);
    const sign = way === "ascending" ? 1 : -1;
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // empty cells stay last
      return sign * compare(a, b);
    });
    body.append(...rows.map(([, line]) => line));
    say(`Sorted by ${heading.textContent.trim()}, ${way}.`);
  };

  const makeSortable = (table, say) => {
    for (const heading of table.querySelectorAll("thead th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent.trim();
      button.addEventListener("click", () => sort(table, heading, say));
      heading.replaceChildren(button);
    }
  };

  const makeFilter = (table, say) => {
    const rows = [...table.tBodies[0].rows];
    const form = document.querySelector("form.filters input[name=agent]");
    if (!form && rows.length < 8) return;
    const box = form ?? document.createElement("input");
    if (!form) {
      box.type = "search";
      box.autocomplete = "off";
      const label = document.createElement("label");
      label.className = "find";
      label.append("Find ", box);
      (table.closest(".scroll") ?? table).before(label);
      box.value = new URLSearchParams(location.search).get("agent") ?? "";
    }
    const apply = () => {
      const wanted = box.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const name = row.querySelector("th")?.textContent ?? row.textContent;
        row.hidden = !name.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      say(`${shown} of ${rows.length} rows.`);
    };
    box.addEventListener("input", apply);
    if (box.value) apply();
  };

  const start = () => {
    const status = document.createElement("p");
    status.className = "status";
    status.setAttribute("role", "status");
    document.getElementById("main").append(status);
    const say = (text) => { status.textContent = text; };
    for (const table of document.querySelectorAll("table")) {
      if (table.querySelector("th[data-sort]")) makeSortable(table, say);
      if (table.hasAttribute("data-filter")) makeFilter(table, say);
    }
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
