// A site's pages: charts are drawn, parts that take longer follow, and what is new is shown in place.
"use strict";
(() => {
  const STATUS_MS = 30000;
  const root = document.getElementById("site");
  const parts = new Map([...document.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part.outerHTML]));

  function draw(within) {
    for (const place of within.querySelectorAll("[data-drawing]")) charts.lines(place, JSON.parse(place.dataset.drawing));
  }

  async function fetched(address) {
    const answer = await fetch(address, { cache: "no-store" });
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  // Keep what the reader has scrolled and opened.
  function replace(here, next) {
    const scrolls = [...here.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    const closed = [...here.querySelectorAll("details[id]:not([open])")].map((box) => box.id);
    here.replaceWith(next);
    for (const id of closed) next.querySelector(`#${id}`)?.removeAttribute("open");
    next.querySelectorAll(".scroll").forEach((box, i) => { box.scrollLeft = scrolls[i] ?? 0; });
    draw(next);
  }

  async function loadLate() {
    await Promise.all([...document.querySelectorAll("[data-late]")].map(async (place) => {
      const next = (await fetched(place.dataset.late)).body;
      if (place.dataset.shown === next.innerHTML) return;
      const shown = next.innerHTML;
      const box = place.cloneNode(false);
      box.append(...next.childNodes);
      box.dataset.shown = shown;
      replace(place, box);
    }));
  }

  async function loadParts() {
    const page = await fetched(location.href);
    const found = [...page.querySelectorAll("[data-part]")];
    if (found.map((part) => part.dataset.part).join() !== [...parts.keys()].join()) {
      location.reload(); // another page altogether: the folder has gone or come back, or there is a first line
      return;
    }
    for (const part of found) {
      if (parts.get(part.dataset.part) === part.outerHTML) continue;
      parts.set(part.dataset.part, part.outerHTML);
      replace(root.querySelector(`[data-part="${part.dataset.part}"]`), part);
    }
  }

  const refresh = live.oneAtATime(() => Promise.all([loadParts(), loadLate()]));
  const asked = new URLSearchParams({ position: root.dataset.position, version: root.dataset.version });

  draw(document);
  loadLate().catch(() => {});
  setInterval(() => { if (!document.hidden && location.pathname === "/") refresh(); }, STATUS_MS);
  live.listen(`/events?${asked}`, refresh, { changed: refresh, gone: refresh, back: refresh });
})();
