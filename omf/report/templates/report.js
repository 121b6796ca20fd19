"use strict";
const { rows, digits } = JSON.parse(document.getElementById("data").textContent);
const PAGE_ROWS = 200;
const table = document.getElementById("images"), body = table.tBodies[0], more = document.getElementById("more");
const headings = [...table.tHead.rows[0].cells];
const filter = document.getElementById("filter"), only = document.getElementById("only");
let chosen = rows, shown = 0;

function text(value, column) {
  if (value === null) return "";
  return typeof value === "number" ? value.toFixed(digits[column - 1]) : value;
}

function showMore() {
  for (const row of chosen.slice(shown, shown + PAGE_ROWS)) {
    const line = body.insertRow();
    row.forEach((value, column) => { line.insertCell().textContent = text(value, column); });
  }
  shown = Math.min(shown + PAGE_ROWS, chosen.length);
  more.hidden = shown === chosen.length;
  document.getElementById("count").textContent = `${chosen.length} of ${rows.length} images`;
}

function refresh() {
  const wanted = filter.value.toLowerCase(), column = headings.findIndex((cell) => cell.ariaSort);
  chosen = rows.filter((row) => row[0].toLowerCase().includes(wanted) && (!only.checked || row.at(-1)));
  chosen.sort((a, b) => (b[0] === filter.value) - (a[0] === filter.value));  // the very name comes first
  if (column >= 0) {
    const sign = headings[column].ariaSort === "ascending" ? 1 : -1;
    const empty = (value) => value === null || value === "";
    chosen.sort((a, b) => {
      const [x, y] = [a[column], b[column]];
      if (empty(x) || empty(y)) return empty(x) - empty(y);  // missing values come last
      return sign * (typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true }));
    });
  }
  body.replaceChildren();
  shown = 0;
  showMore();
}

function unsort() {
  headings.forEach((heading) => { heading.ariaSort = null; });
}

headings.forEach((heading) => heading.querySelector("button").addEventListener("click", () => {
  const next = heading.ariaSort === "ascending" ? "descending" : "ascending";
  unsort();
  heading.ariaSort = next;
  refresh();
}));
filter.addEventListener("input", refresh);
only.addEventListener("change", refresh);
more.addEventListener("click", showMore);

document.querySelectorAll("[data-row]").forEach((link) => link.addEventListener("click", () => {
  filter.value = rows[link.dataset.row][0];
  only.checked = false;
  unsort();
  refresh();
}));

document.querySelectorAll(".compare").forEach((pair) => {
  const slider = pair.querySelector("input");
  slider.addEventListener("input", () => pair.style.setProperty("--at", slider.value / 100));
  slider.hidden = false;
  pair.classList.add("slides");
});

const dialog = document.getElementById("larger"), picture = document.getElementById("larger-picture");
document.querySelectorAll(".open").forEach((button) => button.addEventListener("click", () => {
  const small = button.querySelector("img");
  picture.src = small.src;
  picture.alt = small.alt;
  document.getElementById("larger-text").textContent = small.alt;
  dialog.showModal();
}));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
refresh();
