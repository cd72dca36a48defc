"use strict";
// Filters the gallery; without this script all of it is shown.
(() => {
  const filters = document.getElementById("filters");
  if (!filters) return;
  const lists = [...filters.querySelectorAll("select")];
  const exhibits = [...document.querySelectorAll(".exhibit")];
  const shown = document.getElementById("shown");
  const showAll = document.getElementById("show-all");

  // An exhibit has several outcomes; a class is one value and may contain spaces.
  const matches = (exhibit, key, value) => {
    const data = exhibit.dataset[key];
    return key === "outcome" ? data.split(" ").includes(value) : data === value;
  };

  const applyFilters = () => {
    const active = lists.filter((list) => list.value);
    let count = 0;
    for (const exhibit of exhibits) {
      exhibit.hidden = !active.every((list) => matches(exhibit, list.dataset.filter, list.value));
      count += exhibit.hidden ? 0 : 1;
    }
    shown.textContent = `${count} of ${exhibits.length} images`;
    showAll.disabled = active.length === 0;
    document.getElementById("none-shown").hidden = count > 0;
  };

  showAll.addEventListener("click", () => {
    for (const list of lists) list.value = "";
    applyFilters();
    lists[0].focus();
  });
  for (const list of lists) list.addEventListener("change", applyFilters);
  filters.hidden = false;
  applyFilters();
})();
