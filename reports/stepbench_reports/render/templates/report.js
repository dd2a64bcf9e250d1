"use strict";
// Tables sort by a click on a head; the table of cases shows the rows that have all words.
(() => {
  const number = (cell) => {
    const text = cell.textContent.trim();
    const match = text.replaceAll(/,(?=\d{3})/g, "").match(/-?\d+(\.\d+)?(e[+-]?\d+)?/);
    return match ? Number(match[0]) : text === "" || text === "–" ? -Infinity : NaN;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        const rows = [...table.tBodies[0].rows];
        const keys = new Map(rows.map((row) => [row, number(row.cells[column])]));
        const numeric = [...keys.values()].some(Number.isFinite);
        for (const [row, key] of keys) if (Number.isNaN(key)) keys.set(row, -Infinity);
        rows.sort((a, b) => numeric
          ? keys.get(a) - keys.get(b) || 0 // two rows without a number
          : a.cells[column].textContent.localeCompare(b.cells[column].textContent));
        table.tBodies[0].append(...(ascending ? rows : rows.reverse()));
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      });
    });
  }
  const input = document.getElementById("filter");
  const table = document.querySelector("#cases table");
  if (input && table) {
    const rows = [...table.tBodies[0].rows];
    const show = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const cells = [...row.cells].map((cell) => cell.textContent.trim().toLowerCase());
        row.hidden = !words.every((word) => cells.some((cell) => cell.includes(word)));
        shown += !row.hidden;
      }
      document.getElementById("shown").textContent = `${shown} of ${rows.length} cases`;
    };
    input.addEventListener("input", show);
    show();
  }
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
