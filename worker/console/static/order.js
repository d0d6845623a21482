// What goes together in the forms that act on an order. Without scripts all of it is there to be set.
"use strict";

// The fields of a new carrier, only while one is added.
const carriers = document.querySelector("select[data-new]");
function showNew() {
  const isNew = carriers.value === "+";
  const fields = document.querySelector(carriers.dataset.new);
  fields.hidden = !isNew;
  for (const field of fields.querySelectorAll("input")) field.disabled = !isNew;
}
if (carriers) {
  showNew();
  carriers.addEventListener("change", showNew);
}

document.addEventListener("input", ({ target }) => {
  // Whoever types an amount means it.
  const picked = target.dataset.picks && document.querySelector(target.dataset.picks);
  if (picked) picked.checked = true;
  // Likewise a quantity: 0 is not this one. Whoever ticks a line wants some of it.
  const line = target.closest(".units li");
  if (!line) return;
  const [box, many] = line.querySelectorAll("input");
  if (target === many) box.checked = Number(many.value) > 0;
  else if (box.checked && many.value === "0") many.value = many.max;
});
