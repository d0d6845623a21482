// What htmx is not for: keys, and check boxes that belong together. Everything is delegated, so that
// parts which htmx replaces need nothing done to them.
"use strict";

// On a small screen what is seldom needed is folded; without scripts it stays open.
if (matchMedia("(max-width: 48rem)").matches)
  for (const one of document.querySelectorAll("details[data-fold]")) one.open = false;

// The page's own link is in sight, also where the bar is too narrow for all of them.
document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

// Keys of one letter can be turned off, since whoever dictates would press them by accident.
const keysSwitch = document.querySelector("[data-keys]");
const areKeysOn = () => localStorage.getItem("keys") !== "off";
function showKeys() {
  keysSwitch.setAttribute("aria-pressed", areKeysOn());
  document.documentElement.classList.toggle("no-keys", !areKeysOn());
}
keysSwitch.hidden = false;
keysSwitch.addEventListener("click", () => {
  localStorage.setItem("keys", areKeysOn() ? "off" : "on");
  showKeys();
});
showKeys();

const isTyping = (target) =>
  target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea");

// From the row that has the focus, or from outside to the first or the last.
function move(step) {
  const rows = [...document.querySelectorAll("[data-rows] tbody tr")];
  const at = rows.indexOf(document.activeElement.closest("tr"));
  const to = at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step;
  rows[to]?.querySelector("a.row")?.focus();
}

const keys = {
  "/": () => {
    const search = document.getElementById("search");
    search?.focus();
    search?.select();
  },
  j: () => move(1),
  k: () => move(-1),
  x: (target) => target.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const { key, target } = event;
  if (isTyping(target) || !areKeysOn()) return;
  const inRows = target.closest("[data-rows]");
  const act = keys[inRows && key === "ArrowDown" ? "j" : inRows && key === "ArrowUp" ? "k" : key];
  if (!act) return;
  event.preventDefault();
  act(target);
});

document.addEventListener("change", ({ target }) => {
  const all = target.form?.querySelector("[data-all]");
  if (!all || target.type !== "checkbox") return;
  const boxes = [...target.form.querySelectorAll("[data-rows] input[type=checkbox]")];
  if (target === all) for (const box of boxes) box.checked = all.checked;
  const count = boxes.filter((box) => box.checked).length;
  all.checked = count === boxes.length;
  all.indeterminate = count > 0 && count < boxes.length;
  target.form.querySelector("[data-count]").textContent = count;
  target.form.querySelector("[data-chosen]").hidden = count === 0;
});
