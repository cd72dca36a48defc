"use strict";
// Narrows the gallery to what the lists say; without this script all of it is shown.
(() => {
  const filters = document.getElementById("filters");
  if (!filters) return;
  const lists = [...filters.querySelectorAll("select")];
  const exhibits = [...document.querySelectorAll(".exhibit")];
  const shown = document.getElementById("shown");
  const showAll = document.getElementById("show-all");

  // Of an answer several things can be true; a class may hold spaces and is one value.
  const holds = (exhibit, key, value) => {
    const said = exhibit.dataset[key];
    return key === "answer" ? said.split(" ").includes(value) : said === value;
  };

  const narrow = () => {
    const wanted = lists.filter((list) => list.value);
    let count = 0;
    for (const exhibit of exhibits) {
      exhibit.hidden = !wanted.every((list) => holds(exhibit, list.dataset.filter, list.value));
      count += exhibit.hidden ? 0 : 1;
    }
    shown.textContent = `${count} of ${exhibits.length} photographs`;
    showAll.disabled = wanted.length === 0;
    document.getElementById("none-shown").hidden = count > 0;
  };

  showAll.addEventListener("click", () => {
    for (const list of lists) list.value = "";
    narrow();
    lists[0].focus();
  });
  for (const list of lists) list.addEventListener("change", narrow);
  filters.hidden = false;
  narrow();
})();
