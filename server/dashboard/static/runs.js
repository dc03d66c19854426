// The list of runs, looked at again while the page is visible.
"use strict";
(() => {
  const EVERY_MS = 3000;
  const link = document.getElementById("link");

  async function refresh() {
    if (document.hidden) return;
    try {
      const answer = await fetch("/", { cache: "no-store" });
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("runs");
      const here = document.getElementById("runs");
      if (next && next.innerHTML !== here.innerHTML) here.replaceWith(next);
      link.textContent = "";
    } catch {
      link.textContent = "No connection to the server; trying again.";
    }
  }

  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);
})();
