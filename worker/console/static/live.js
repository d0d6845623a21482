// A page that nobody sees asks for nothing; seen again it asks at once.
"use strict";

document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden && event.target.closest?.("[data-live]")) event.preventDefault();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const one of document.querySelectorAll("[data-live]")) htmx.trigger(one, "seen");
});
