// A file goes as it is, not in a form; what comes back is a part of the page, or where to go on.
"use strict";

const upload = document.querySelector("form[data-upload]");
const outcome = document.querySelector(upload?.dataset.target);

async function send(what) {
  const chosen = upload.querySelector("[type=file]").files[0];
  const query = new URLSearchParams({ name: chosen.name, check: what === "check" });
  for (const one of upload.elements)
    if (one.name) query.set(one.name, one.type === "checkbox" ? one.checked : one.value);
  const headers = JSON.parse(document.body.getAttribute("hx-headers:inherited"));
  const answer = await fetch(`${upload.dataset.upload}?${query}`, {
    method: "POST",
    body: chosen,
    headers: {
      ...headers,
      Accept: "text/html",
      "Content-Type": "application/octet-stream",
      "HX-Request": "true",
    },
  });
  const next = answer.headers.get("HX-Redirect");
  if (next) location.assign(next);
  else outcome.innerHTML = await answer.text();
}

if (upload) {
  const buttons = upload.querySelectorAll("button");
  const waiting = (is) => {
    upload.setAttribute("aria-busy", is);
    for (const one of buttons) one.disabled = is;
  };
  waiting(false);
  upload.addEventListener("submit", (event) => {
    event.preventDefault();
    waiting(true);
    send(event.submitter?.value ?? "check")
      .catch(() => { outcome.textContent = upload.dataset.failed; })
      .finally(() => waiting(false));
  });
}
