// One run: the server's tables are shown anew when there is news, the charts grow by the rounds that came.
"use strict";
(() => {
  const root = document.getElementById("run");
  const name = encodeURIComponent(root.dataset.run);
  const api = `/api/runs/${name}`;
  const byId = (id) => document.getElementById(id);
  const KINDS = [
    ["a", "accepted", "series-3", "✓"], ["r", "refused", "bad", "✕"], ["l", "late", "series-5", "…"],
    ["f", "failed", "series-4", "!"], ["n", "absent", "muted", "–"], ["-", "not asked", "grid", ""],
  ];
  let data = null;

  // What grows by round: lists in `data` are cut where the newer ones begin, and these follow.
  function merged(old, next) {
    if (!old || old.metric !== next.metric || String(old.sites) !== String(next.sites)) return next;
    const kept = old.rounds.filter((round) => round < next.since).length;
    const join = (a, b) => {
      if (a == null) return b;
      if (typeof b === "string") return a.slice(0, kept) + b;
      if (Array.isArray(b)) return b.some((x) => Array.isArray(x) || typeof x === "string")
        ? b.map((x, i) => join(a[i], x)) : a.slice(0, kept).concat(b);
      if (b && typeof b === "object") return Object.fromEntries(Object.keys(b).map((key) => [key, join(a[key], b[key])]));
      return b;
    };
    const grown = Object.fromEntries(Object.keys(next).map((key) =>
      [key, key === "sites" || key === "scores" ? next[key] : join(old[key], next[key])]));
    grown.scores = joinedScores(old.scores, next.scores, next.since);
    return grown;
  }

  function joinedScores(old, next, since) {
    if (!old || !next) return next || old;
    const kept = old.rounds.filter((round) => round < since).length;
    const one = (a, b) => Object.fromEntries(["value", "low", "high"].map((k) => [k, a[k].slice(0, kept).concat(b[k])]));
    return {
      rounds: old.rounds.slice(0, kept).concat(next.rounds),
      pooled: one(old.pooled, next.pooled),
      sites: next.sites.map((scores, i) => one(old.sites[i], scores)),
    };
  }

  async function loadNumbers() {
    const metric = byId("metric").value;
    const old = data && data.metric === metric ? data : null;
    // Scores of a round come with the next one, so the last two known rounds are asked for again.
    const since = old && old.rounds.length ? Math.max(0, old.rounds[old.rounds.length - 1] - 1) : 0;
    const answer = await fetch(`${api}?metric=${encodeURIComponent(metric)}&since=${since}`);
    if (!answer.ok) return;
    const next = await answer.json();
    const restarted = old && next.done < old.done;
    if (restarted) { data = null; return loadNumbers(); }
    data = merged(old, next);
    draw();
  }

  const known = (values) => values.some((value) => value != null);
  const linesOf = (both, whole) => [
    { name: whole, y: both.whole, whole: true },
    ...data.sites.map((site, i) => ({ name: site, y: both.sites[i] })).filter((line) => known(line.y)),
  ].filter((line) => known(line.y));

  function lines(id, yTitle, found, more = {}) {
    const place = byId(`chart-${id}`);
    place.closest("figure").hidden = !found.length;
    if (found.length) charts.lines(place, { x: data.rounds, yTitle, lines: found, ...more });
  }

  function draw() {
    drawScores();
    lines("loss", "Training loss", linesOf(data.loss, "Mean"));
    lines("norm", "Norm", linesOf(data.norm, "Of the mean"));
    lines("cosine", "Cosine", linesOf(data.cosine, "Between two"));
    lines("gradient", "Gradient norm", data.gradient ? linesOf(data.gradient, "Mean") : []);
    for (const [key, title] of [["drift", "Drift"], ["aggregation_error", "Relative error"], ["effective_rank", "Rank"]]) {
      lines(key, title, known(data[key]) ? [{ name: title, y: data[key], whole: true }] : []);
    }
    lines("seconds", "Seconds", known(data.seconds) ? [{ name: "Whole round", y: data.seconds, whole: true }] : []);
    lines("bytes", "Bytes", data.rounds.length
      ? [{ name: "Sent up", y: data.bytes_up }, { name: "Sent down", y: data.bytes_down }] : []);
    const place = byId("chart-participation");
    place.closest("figure").hidden = !data.rounds.length;
    if (data.rounds.length) charts.grid(place, { x: data.rounds, rows: data.sites, cells: data.participation, kinds: KINDS });
  }

  function drawScores() {
    const scores = data.scores;
    const place = byId("chart-scores");
    place.closest("figure").hidden = !scores;
    if (!scores) return;
    const banded = byId("interval").value;
    const line = (label, found, extra) => ({ name: label, y: found.value, ...extra });
    const band = (found) => ({ low: found.low, high: found.high });
    const found = [
      line("All together", scores.pooled, { whole: true, ...(banded === "" ? band(scores.pooled) : {}) }),
      ...data.sites.map((site, i) => line(site, scores.sites[i], site === banded ? band(scores.sites[i]) : {})),
    ].filter((each) => known(each.y));
    const chosen = byId("metric").selectedOptions[0];
    charts.lines(place, { x: scores.rounds, yTitle: chosen ? chosen.textContent : "", lines: found });
  }

  // The server's own HTML, part by part; what is the same stays, with its scroll and its focus.
  async function loadParts() {
    const query = new URLSearchParams(location.search);
    query.set("part", "true");
    const answer = await fetch(`/runs/${name}?${query}`);
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of next.querySelectorAll("[data-part]")) {
      const here = root.querySelector(`[data-part="${part.dataset.part}"]`);
      if (here && here.outerHTML !== part.outerHTML) replaceKeeping(here, part);
    }
    addOptions();
  }

  function replaceKeeping(here, part) {
    const scrolls = [...here.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box === document.activeElement]);
    here.replaceWith(part);
    part.querySelectorAll(".scroll").forEach((box, i) => {
      if (!scrolls[i]) return;
      box.scrollLeft = scrolls[i][0];
      if (scrolls[i][1]) box.focus({ preventScroll: true });
    });
  }

  // A page that was opened before the first round knows neither metrics nor hospitals.
  function addOptions() {
    if (byId("metric").options.length && byId("interval").options.length > 1) return;
    fetch(location.pathname).then((answer) => answer.text()).then((text) => {
      const next = new DOMParser().parseFromString(text, "text/html");
      for (const id of ["metric", "interval"]) {
        const there = next.getElementById(id);
        if (there && there.options.length > byId(id).options.length) byId(id).innerHTML = there.innerHTML;
      }
    }).catch(() => {});
  }

  const refresh = live.oneAtATime(() => Promise.all([loadParts(), loadNumbers()]));

  function showGone(isGone) {
    byId("gone").textContent = "The run's folder is not there any more; this shows what was read of it.";
    byId("gone").hidden = !isGone;
  }

  async function act(event) {
    event.preventDefault();
    const said = byId("said");
    said.textContent = "…";
    try {
      const answer = await fetch(`${api}/${event.submitter.value}`, {
        method: "POST", headers: { Authorization: `Bearer ${byId("token").value}` },
      });
      const content = await answer.json();
      said.textContent = content.said || content.error;
    } catch {
      said.textContent = "The server did not answer.";
    }
    refresh();
  }

  byId("metric").addEventListener("change", () => loadNumbers().catch(() => {}));
  byId("interval").addEventListener("change", () => data && drawScores());
  byId("act")?.addEventListener("submit", act);
  loadNumbers().catch(() => {});
  live.listen(`${api}/events?position=${root.dataset.position}`, refresh, {
    changed: refresh,
    gone: () => showGone(true),
    back: () => { showGone(false); refresh(); },
  });
})();
