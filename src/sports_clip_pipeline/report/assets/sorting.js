"use strict";
// Makes the headers of sortable tables buttons; without this script the order is fixed.
(() => {
  const number = (text) => parseFloat(text.replace("−", "-").replace(/[,+\s%]/g, ""));

  const compare = (column, asNumbers, sign) => (a, b) => {
    const [first, second] = [a, b].map((row) => row.cells[column].textContent.trim());
    if (!asNumbers) return sign * first.localeCompare(second);
    const [left, right] = [number(first), number(second)];
    // Cells without a number come last in both directions.
    if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right);
    return sign * (left - right);
  };

  const sortBy = (table, head, heads) => {
    const asNumbers = head.classList.contains("n");
    // Numbers in descending order first, text in ascending order.
    const [first, other] = asNumbers ? ["descending", "ascending"] : ["ascending", "descending"];
    const direction = head.getAttribute("aria-sort") === first ? other : first;
    for (const one of heads) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare(heads.indexOf(head), asNumbers, sign)));
  };

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, head, heads));
    }
  }
})();
