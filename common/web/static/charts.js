// Charts with plotly under a strict content policy: no inline style, no inline script, nothing from outside.
// plotly is fetched after the page has been painted; a chart is drawn when it comes near the window.
"use strict";
(() => {
  const own = document.currentScript;
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px 2px 1px 2px", "2px 4px"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down"];
  const SIGNS = 800; // cells of a grid that are written into
  const drawings = new Map();
  let loading = null;

  // plotly adds these style elements itself unless there are elements of that id; web.css has what is needed of them.
  function forbidStyles() {
    const ids = ["plotly.js-style-global", ...(own.dataset.styles || "").split(" ").filter(Boolean)];
    for (const id of ids) {
      const mark = document.createElement("template");
      mark.id = id;
      mark.className = "no-inline-styles";
      document.head.appendChild(mark);
    }
  }

  function afterPaint() {
    return new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  }

  function plotly() {
    loading ??= afterPaint().then(() => new Promise((done, failed) => {
      forbidStyles();
      const script = document.createElement("script");
      script.src = own.dataset.plotly;
      script.onload = () => done(window.Plotly);
      script.onerror = () => { loading = null; script.remove(); failed(new Error("plotly was not loaded")); };
      document.head.appendChild(script);
    }));
    return loading;
  }

  const colour = (role) => getComputedStyle(document.documentElement).getPropertyValue(`--${role}`).trim();

  // The nth of several lines: told apart by colour, dash and mark up to eight, all alike beyond.
  function style(place, count) {
    if (count > 8) return { line: { color: colour("muted"), width: 0.8 }, opacity: 0.25, mode: "lines" };
    return {
      line: { color: colour(`series-${place + 1}`), width: 1.5, dash: DASHES[place] },
      marker: { symbol: SYMBOLS[place], size: 5 },
    };
  }

  // x: numbers. lines: [{name, y, low?, high?, whole?}]; `whole` is of all together. axis: {title, log, range}.
  // days: x are dates, each a bar.
  function lineTraces({ x, lines, days }) {
    const parts = lines.filter((line) => !line.whole);
    const short = x.length <= 60;
    const ordered = [...parts, ...lines.filter((line) => line.whole)]; // what is of all lies above the rest
    return ordered.flatMap((line) => {
      const place = parts.indexOf(line);
      const look = line.whole
        ? { line: { color: colour("ink"), width: 2.4 }, marker: { size: 5 } }
        : style(place, parts.length);
      const mode = look.mode || (short ? "lines+markers" : "lines");
      const trace = {
        type: days ? "bar" : "scatter", name: escaped(line.name), x, y: line.y, ...look, mode, connectgaps: false,
        legendrank: line.whole ? 1 : 2,
        showlegend: !days && (line.whole || parts.length <= 8), hovertemplate: days ? "%{y:,}" : "%{y:.4g}",
        ...(days ? { marker: { color: colour("series-1") } } : {}),
      };
      return line.low && line.high ? [...band(x, line, look.line.color), trace] : [trace];
    });
  }

  // plotly takes a name as a little HTML, and would write styles for it.
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

  function band(x, line, tint) {
    const known = x.map((_, i) => i).filter((i) => line.low[i] != null && line.high[i] != null);
    if (!known.length) return [];
    const there = known.map((i) => x[i]);
    return [{
      type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line: { width: 0 }, fill: "toself",
      fillcolor: tint, opacity: 0.16,
      x: [...there, ...[...there].reverse()],
      y: [...known.map((i) => line.high[i]), ...[...known].reverse().map((i) => line.low[i])],
    }];
  }

  // rows: names, top first. x: numbers. cells: one string per row, a letter per x.
  // kinds: [[letter, name, role, sign]]; the sign is shown where there is room, so that colour does not stand alone.
  function gridTraces({ x, rows, cells, kinds }) {
    const order = new Map(kinds.map(([letter], place) => [letter, place]));
    const steps = kinds.flatMap(([, , role], place) =>
      [[place / kinds.length, colour(role)], [(place + 1) / kinds.length, colour(role)]]);
    return [{
      type: "heatmap", x, y: rows.map(escaped), showscale: false, xgap: x.length > 120 ? 0 : 1, ygap: 1,
      z: cells.map((row) => [...row].map((letter) => order.get(letter) ?? null)),
      customdata: cells.map((row) => [...row].map((letter) => (kinds[order.get(letter)] || ["", ""])[1])),
      ...(x.length * rows.length <= SIGNS && x.length <= 40 ? {
        text: cells.map((row) => [...row].map((letter) => (kinds[order.get(letter)] || [])[3] || "")),
        texttemplate: "%{text}", textfont: { color: colour("paper"), size: 11 },
      } : {}),
      zmin: -0.5, zmax: kinds.length - 0.5, colorscale: steps,
      hovertemplate: "%{y}, round %{x}: %{customdata}<extra></extra>",
    }];
  }

  function layout(drawing, place) {
    const axis = {
      gridcolor: colour("grid"), zeroline: false, linecolor: colour("muted"), fixedrange: true, automargin: true,
      tickfont: { size: 11 },
    };
    const grid = drawing.kind === "grid";
    return {
      autosize: true, height: place.clientHeight, margin: { l: 48, r: 8, t: 8, b: 36 }, dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("ink"), size: 12, family: getComputedStyle(document.body).fontFamily },
      hovermode: grid ? "closest" : "x unified", hoverlabel: { bgcolor: colour("wash"), font: { size: 12 } },
      legend: { orientation: "h", y: -0.22, font: { size: 11 } }, showlegend: !grid && drawing.lines.length > 1,
      xaxis: { ...axis, title: { text: drawing.xTitle || "Round", font: { size: 11 } },
        ...(drawing.days ? { type: "category", nticks: 12 } : { tickformat: "d", dtick: drawing.x.length < 8 ? 1 : undefined }) },
      yaxis: grid
        ? { ...axis, autorange: "reversed", type: "category", showgrid: false }
        : { ...axis, title: { text: drawing.yTitle || "", font: { size: 11 } }, type: drawing.log ? "log" : "linear",
          range: drawing.range },
    };
  }

  async function paint(place) {
    const drawing = drawings.get(place);
    if (!drawing || !drawing.near) return;
    let library;
    try { library = await plotly(); } catch { return; } // the tables have the numbers
    if (drawing.kind === "grid") {
      place.style.height = `${Math.min(760, Math.max(150, 60 + drawing.rows.length * (drawing.rows.length > 12 ? 14 : 30)))}px`;
    }
    const traces = drawing.kind === "grid" ? gridTraces(drawing) : lineTraces(drawing);
    await library.react(place, traces, layout(drawing, place), { displayModeBar: false, responsive: true });
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const drawing = drawings.get(target);
      if (drawing && isIntersecting && !drawing.near) { drawing.near = true; paint(target); }
    }
  }, { rootMargin: "300px" });

  function show(place, drawing) {
    const near = drawings.get(place)?.near ?? false;
    drawings.set(place, { ...drawing, near });
    if (near) paint(place); else watcher.observe(place);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const place of drawings.keys()) paint(place);
  });

  window.charts = {
    // Draw lines into an element, or draw them anew with other values.
    lines: (place, drawing) => show(place, { ...drawing, kind: "lines" }),
    grid: (place, drawing) => show(place, { ...drawing, kind: "grid" }),
  };
})();
