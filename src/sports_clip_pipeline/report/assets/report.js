"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const tones = JSON.parse(document.getElementById("tones").textContent);
  const system = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const config = { responsive: true, displayModeBar: false, displaylogo: false, scrollZoom: false };
  const printWidth = 640;

  // The reader's theme is stored if the browser allows that for a local file.
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* not stored */ } };

  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  // Figures are stored in light colours; each has a dark twin.
  const swap = (value) => {
    if (Array.isArray(value)) return value.map(swap);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, swap(child)]));
    }
    return typeof value === "string" && Object.hasOwn(tones, value) ? tones[value] : value;
  };

  const figures = [...document.querySelectorAll("[data-figure]")].map((script) => ({
    place: document.querySelector(`[data-plot="${script.dataset.figure}"]`),
    legend: document.querySelector(`[data-legend="${script.dataset.figure}"]`),
    figure: JSON.parse(script.textContent),
  }));
  for (const entry of figures) {
    // Series that are "legendonly" are hidden at first and listed apart.
    const waiting = entry.figure.data.filter((trace) => trace.visible === "legendonly");
    entry.waiting = new Set(waiting.map((trace) => trace.legendgroup));
    entry.hidden = new Set(entry.waiting);
  }

  const dress = (entry, dark, more) => {
    const { data, layout } = dark ? swap(entry.figure) : structuredClone(entry.figure);
    for (const trace of data) trace.visible = !entry.hidden.has(trace.legendgroup);
    return { data, layout: { ...layout, showlegend: false, dragmode: coarse ? false : "zoom", ...more } };
  };

  const draw = (entry, dark = isDark(), more = {}) => {
    const { data, layout } = dress(entry, dark, more);
    Plotly.react(entry.place, data, layout, config);
    drawLegend(entry, data);
  };
  const drawAll = (dark, more) => figures.forEach((entry) => draw(entry, dark, more));

  const shapes = {
    "circle": "M14 2.5a3.5 3.5 0 1 0 .01 0z",
    "circle-open": "M14 2.5a3.5 3.5 0 1 0 .01 0z",
    "square": "M10.8 2.8h6.4v6.4h-6.4z",
    "diamond": "M14 1.5l4.5 4.5-4.5 4.5-4.5-4.5z",
    "triangle-up": "M14 2l4 7.4h-8z",
    "cross": "M12.7 2h2.6v2.7H18v2.6h-2.7V10h-2.6V7.3H10V4.7h2.7z",
    "x": "M11.9 2L14 4.1 16.1 2 18 3.9 15.9 6 18 8.1 16.1 10 14 7.9 11.9 10 10 8.1 12.1 6 10 3.9z",
    "triangle-down": "M14 10l4-7.4h-8z",
    "star": "M14 1.3l1.3 3 3.3.3-2.5 2.2.8 3.2-2.9-1.7-2.9 1.7.8-3.2-2.5-2.2 3.3-.3z",
  };
  const element = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const swatch = (trace) => {
    const drawing = element("svg", { width: 28, height: 12, viewBox: "0 0 28 12", "aria-hidden": "true" });
    const color = trace.line?.color ?? trace.marker?.color;
    const mode = trace.mode ?? "markers";
    if (mode.includes("lines")) {
      const dashes = { dash: "6 4", dot: "2 3" }[trace.line?.dash] ?? "none";
      drawing.append(element("line", { x1: 1, x2: 27, y1: 6, y2: 6, stroke: color, "stroke-width": 2, "stroke-dasharray": dashes }));
    }
    if (trace.type === "bar") drawing.append(element("rect", { x: 8, y: 1, width: 12, height: 10, fill: color }));
    else if (mode.includes("markers")) {
      // Where points differ, the legend shows them filled.
      const symbols = [trace.marker?.symbol ?? "circle"].flat();
      const hollow = symbols.every((symbol) => symbol.endsWith("-open"));
      const shape = shapes[symbols[0].replace("-open", "")] ?? shapes.circle;
      const paint = hollow ? { fill: "none", stroke: color, "stroke-width": 2 } : { fill: color };
      drawing.append(element("path", { d: shape, ...paint }));
    }
    return drawing;
  };

  const legendButton = (entry, trace) => {
    const item = document.createElement("button");
    item.type = "button";
    item.dataset.group = trace.legendgroup;
    item.setAttribute("aria-pressed", String(!entry.hidden.has(trace.legendgroup)));
    // Names are written for plotly, which reads entities.
    const name = new DOMParser().parseFromString(trace.name, "text/html").documentElement.textContent;
    item.append(swatch(trace), name);
    item.addEventListener("click", () => {
      if (!entry.hidden.delete(trace.legendgroup)) entry.hidden.add(trace.legendgroup);
      draw(entry);
    });
    return item;
  };

  const legendRow = (name, items) => {
    const row = document.createElement("div");
    row.className = "legend-row";
    if (name) {
      const head = document.createElement("p");
      head.textContent = name;
      row.append(head);
    }
    row.append(...items);
    return row;
  };

  // Hidden series are listed in a details element, in rows by kind.
  const waitingFold = (entry, traces) => {
    const fold = document.createElement("details");
    fold.open = Boolean(entry.unfolded);
    fold.addEventListener("toggle", () => { entry.unfolded = fold.open; });
    const head = document.createElement("summary");
    head.textContent = `${traces.length} more to show`;
    const rows = Map.groupBy(traces, (trace) => trace.meta ?? "");
    fold.append(head, ...[...rows].map(([name, some]) => legendRow(rows.size > 1 ? name : "", some.map((trace) => legendButton(entry, trace)))));
    return fold;
  };

  const drawLegend = (entry, data) => {
    const shown = data.filter((trace) => trace.legendgroup && trace.showlegend !== false);
    if (shown.length < 2) return;
    const focused = entry.legend.contains(document.activeElement) ? document.activeElement.dataset.group : undefined;
    const { first = [], later = [] } = Object.groupBy(shown, (trace) => entry.waiting.has(trace.legendgroup) ? "later" : "first");
    entry.legend.replaceChildren(legendRow("", first.map((trace) => legendButton(entry, trace))));
    if (later.length) entry.legend.append(waitingFold(entry, later));
    if (focused) [...entry.legend.querySelectorAll("button")].find((item) => item.dataset.group === focused)?.focus();
  };

  const showTheme = () => {
    const dark = isDark();
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", dark ? "Use light colours" : "Use dark colours");
    drawAll(dark);
  };

  const stored = remembered();
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    showTheme();
  });
  system.addEventListener("change", showTheme);
  addEventListener("beforeprint", () => drawAll(false, { width: printWidth }));
  addEventListener("afterprint", () => drawAll());
  showTheme();
})();
