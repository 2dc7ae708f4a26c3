"use strict";
// Charts on canvas, the sample slider, and the copy button. Everything shown stands in the page already or in #data.
const report = (() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const view = { from: null, to: null, log: false, smooth: 0 }; // from, to: null while all steps are shown
  const MARGIN = { top: 8, right: 10, bottom: 22 };

  const finite = (value) => typeof value === "number";
  const step = (value) => Math.round(value).toLocaleString("en");
  const digits = (value) => {
    if (!finite(value)) return value === undefined ? "" : String(value);
    const size = Math.abs(value);
    return size && (size >= 1e6 || size < 1e-4) ? value.toExponential(2).replace(/\.?0+e/, "e") : String(+value.toPrecision(5));
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  /** Round values between low and high, about `count` of them. */
  function ticks(low, high, count) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const stride = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(low / stride); at * stride <= high * (1 + 1e-12) && found.length < 50; at++) found.push(+(at * stride).toPrecision(12));
    return found;
  }
  function logTicks(low, high) {
    const powers = (factors) => {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
        for (const factor of factors) found.push(+(factor * 10 ** power).toPrecision(3));
      return found.filter((value) => value >= low && value <= high);
    };
    const found = [powers([1]), powers([1, 2, 5])].find((some) => some.length > 2) || ticks(low, high, 4);
    return found.filter((_, index) => index % Math.ceil(found.length / 6) === 0);
  }
  /** A running mean that starts without a bias; values that are not finite are skipped. */
  function smoothed(values, keep) {
    let sum = 0, weight = 0;
    return values.map((value) => {
      if (!finite(value)) return null;
      sum = keep * sum + (1 - keep) * value;
      weight = keep * weight + (1 - keep);
      return sum / weight;
    });
  }
  /** The index of the first x that is at least `at`. */
  function first(xs, at) {
    let low = 0, high = xs.length;
    while (low < high) { const middle = (low + high) >> 1; if (xs[middle] < at) low = middle + 1; else high = middle; }
    return low;
  }
  function nearest(xs, at) {
    const index = first(xs, at);
    return index === xs.length || (index > 0 && at - xs[index - 1] < xs[index] - at) ? index - 1 : index;
  }

  class Chart {
    constructor(figure, { title, curves }) {
      Object.assign(this, { figure, title, curves, canvas: figure.querySelector("canvas"), cursor: null, drag: null });
      this.buttons = [...figure.querySelectorAll(".legend button")];
      this.buttons.forEach((button, index) => button.addEventListener("click", () => {
        const entry = this.entries()[index], hidden = !entry[0].hidden;
        for (const curve of entry) curve.hidden = hidden;
        button.setAttribute("aria-pressed", String(!hidden));
        this.draw();
      }));
      const on = (name, act) => this.canvas.addEventListener(name, act);
      on("pointerdown", (event) => { if (event.button === 0) { this.drag = event.offsetX; this.canvas.setPointerCapture(event.pointerId); } });
      on("pointermove", (event) => { this.pointer = event.offsetX; this.cursor = this.stepAt(event.offsetX); this.draw(); });
      on("pointerup", (event) => this.drop(event.offsetX));
      on("pointercancel", () => { this.drag = null; this.draw(); });
      on("pointerleave", (event) => { if (this.drag === null && event.pointerType === "mouse") { this.cursor = null; this.draw(); } });
      on("dblclick", () => zoom(null, null));
      on("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.draw()).observe(this.canvas);
    }
    /** Curves of one name (one thing with several seeds) are one entry of the legend, and have one colour. */
    entries() { return [...new Set(this.curves.map((curve) => curve.name))].map((name) => this.curves.filter((curve) => curve.name === name)); }
    /** Whether newer curves can be drawn in this chart, with the legend that it has. */
    fits(chart) { return this.title === chart.title && this.curves.map((curve) => curve.name).join("\n") === chart.curves.map((curve) => curve.name).join("\n"); }
    take(curves) { this.curves = curves.map((curve, index) => ({ ...curve, hidden: this.curves[index].hidden })); }
    stepAt(x) { return this.from + (clamp(x, this.left, this.right) - this.left) / (this.right - this.left) * (this.to - this.from); }
    drop(x) {
      const start = this.drag;
      this.drag = null;
      if (start !== null && Math.abs(x - start) > 5) zoom(...[this.stepAt(start), this.stepAt(x)].sort((a, b) => a - b));
      else this.draw();
    }
    key(event) {
      const middle = this.cursor ?? (this.from + this.to) / 2, half = (this.to - this.from) / 2;
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key], scale = { "+": 0.5, "=": 0.5, "-": 2 }[event.key];
      if (move) {
        const xs = (this.curves.find((curve) => !curve.hidden) || this.curves[0]).x;
        const inside = [first(xs, this.from), first(xs, this.to + 1e-9) - 1], stride = Math.max(1, Math.round((inside[1] - inside[0]) / 100));
        const index = this.cursor === null ? inside[1] : nearest(xs, this.cursor) + move * stride;
        this.cursor = xs[clamp(index, Math.min(...inside), Math.max(inside[1], 0))];
        this.draw();
        this.figure.querySelector(".spoken").textContent = this.read().join(", ");
      } else if (scale) zoom(middle - half * scale, middle + half * scale);
      else if (event.key === "Escape") zoom(null, null);
      else return;
      event.preventDefault();
    }
    /** Write the values at the cursor (or the last ones) into the legend; returns them in words. */
    read() {
      const at = this.cursor ?? view.to ?? Infinity;
      const place = step(this.curves[0].x[nearest(this.curves[0].x, at)]);
      this.figure.querySelector(".at").textContent = (at === Infinity ? "last, step " : "step ") + place;
      return [`step ${place}`, ...this.entries().map((entry, index) => {
        const values = entry.map((curve) => curve.y[nearest(curve.x, at)]), some = values.filter(finite);
        const value = digits(some.length ? some.reduce((sum, one) => sum + one, 0) / some.length : values[0]);
        this.buttons[index].querySelector("b").textContent = value;
        return `${entry[0].name} ${value}`;
      })];
    }
    /** Lowest and highest of what is drawn between the two steps. */
    bounds() {
      let low = Infinity, high = -Infinity;
      for (const curve of this.curves) {
        if (curve.hidden) continue;
        let begin = first(curve.x, this.from), end = first(curve.x, this.to + 1e-9);
        if (begin === end) [begin, end] = [Math.max(begin - 1, 0), Math.min(end + 1, curve.x.length)]; // between two points
        for (let index = begin; index < end; index++)
          for (const value of [curve.y[index], ...(curve.intervals?.[index] ?? [])])
            if (finite(value) && (!view.log || value > 0)) { low = Math.min(low, value); high = Math.max(high, value); }
      }
      if (low > high) return null;
      if (view.log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
      const room = (high - low) * 0.05 || Math.abs(low) * 0.1 || 1;
      return [low - room, high + room];
    }
    draw() { this.waiting ??= requestAnimationFrame(() => { this.waiting = null; this.paint(); }); }
    paint() {
      const { canvas } = this, ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
      if (!width) return;
      const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue("--" + name).trim();
      const pen = canvas.getContext("2d");
      if (canvas.width !== Math.round(width * ratio)) Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      pen.font = "12px system-ui, sans-serif";
      [this.from, this.to] = shown();
      const range = this.bounds(), [low, high] = range || [0, 1], scale = view.log ? Math.log10 : (value) => value;
      const marks = !range ? [] : view.log ? logTicks(low, high) : ticks(low, high, 5), names = marks.map(digits);
      this.left = Math.max(28, ...names.map((name) => pen.measureText(name).width)) + 10;
      this.right = width - MARGIN.right;
      const bottom = height - MARGIN.bottom;
      const X = (value) => this.left + (value - this.from) / (this.to - this.from) * (this.right - this.left);
      const Y = (value) => bottom - (scale(value) - scale(low)) / (scale(high) - scale(low)) * (bottom - MARGIN.top);
      pen.lineWidth = 1;
      pen.fillStyle = colour("quiet");
      pen.strokeStyle = colour("grid");
      pen.textAlign = "right"; pen.textBaseline = "middle";
      marks.forEach((mark, index) => { line(pen, this.left, Y(mark), this.right, Y(mark)); pen.fillText(names[index], this.left - 6, Y(mark)); });
      pen.textAlign = "center"; pen.textBaseline = "top";
      for (const mark of ticks(this.from, this.to, clamp(width / 110, 2, 6))) {
        line(pen, X(mark), bottom, X(mark), bottom + 4);
        if (Number.isInteger(mark)) pen.fillText(step(mark), clamp(X(mark), this.left, this.right - pen.measureText(step(mark)).width / 2 + 6), bottom + 6);
      }
      if (!range) pen.fillText(view.log ? "no positive finite value here" : "no finite value here", (this.left + this.right) / 2, height / 2 - 10);
      pen.save();
      pen.beginPath(); pen.rect(this.left - 3, 0, this.right - this.left + 6, height); pen.clip();
      this.entries().forEach((entry, index) => entry.forEach((curve) => {
        if (curve.hidden) return;
        pen.strokeStyle = pen.fillStyle = colour("c" + (curve.colour ?? index));
        const smooth = curve.measured ? 0 : view.smooth;
        pen.globalAlpha = smooth ? 0.3 : 1;
        if (range) trace(pen, curve.x, curve.y, X, Y, this.from, this.to, curve.intervals);
        pen.globalAlpha = 1;
        if (range && smooth) trace(pen, curve.mx ?? curve.x, smoothed(curve.my ?? curve.y, smooth), X, Y, this.from, this.to);
        pen.strokeStyle = colour("bad");
        curve.x.forEach((x, at) => { if (!finite(curve.y[at])) { line(pen, X(x) - 3, bottom - 7, X(x) + 3, bottom - 1); line(pen, X(x) - 3, bottom - 1, X(x) + 3, bottom - 7); } });
        if (this.cursor !== null) {
          const near = nearest(curve.x, this.cursor);
          if (range && finite(curve.y[near])) dot(pen, X(curve.x[near]), Y(curve.y[near]), 4);
        }
      }));
      pen.strokeStyle = colour("quiet");
      if (this.cursor !== null) line(pen, X(this.cursor), MARGIN.top, X(this.cursor), bottom);
      if (this.drag !== null && Math.abs(this.pointer - this.drag) > 5) {
        pen.globalAlpha = 0.18; pen.fillStyle = colour("accent");
        pen.fillRect(this.drag, MARGIN.top, this.pointer - this.drag, bottom - MARGIN.top);
      }
      pen.restore();
      this.read();
    }
  }

  function line(pen, x0, y0, x1, y1) { pen.beginPath(); pen.moveTo(x0, y0); pen.lineTo(x1, y1); pen.stroke(); }
  function dot(pen, x, y, size) { pen.beginPath(); pen.arc(x, y, size, 0, 2 * Math.PI); pen.fill(); }
  /** One curve: lines between neighbours that can be drawn, dots where there are few points or no neighbour. */
  function trace(pen, xs, ys, X, Y, from, to, intervals) {
    const begin = Math.max(first(xs, from) - 1, 0), end = Math.min(first(xs, to) + 2, xs.length);
    const drawn = (index) => index >= begin && index < end && finite(ys[index]) && (!view.log || ys[index] > 0);
    const few = end - begin <= 40;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    for (let index = begin; index < end; index++)
      if (drawn(index)) pen[drawn(index - 1) ? "lineTo" : "moveTo"](X(xs[index]), Y(ys[index]));
    pen.stroke();
    for (let index = begin; index < end; index++) {
      if (drawn(index) && (few || !(drawn(index - 1) || drawn(index + 1)))) dot(pen, X(xs[index]), Y(ys[index]), 2.5);
      const [low, high] = intervals?.[index] ?? [];
      if (drawn(index) && finite(low) && finite(high)) line(pen, X(xs[index]), Y(view.log ? Math.max(low, 1e-300) : low), X(xs[index]), Y(high));
    }
  }

  let ends, whole; // the first and the last step of all curves, and the same with some room
  function extend(drawn) {
    ends = [Infinity, -Infinity];
    for (const { curves } of drawn) for (const { x } of curves) { ends[0] = Math.min(ends[0], x[0]); ends[1] = Math.max(ends[1], x.at(-1)); }
    whole = ends[0] < ends[1] ? ends : [ends[0] - 1, ends[0] + 1];
  }
  extend(data.charts);
  const shown = () => [view.from ?? whole[0], view.to ?? whole[1]];
  if (data.charts.length) {
    for (const id of ["controls", "hint", "charts"]) find(id).hidden = false;
    find("unscripted").hidden = true;
  }
  let charts = [...document.querySelectorAll(".chart")].map((figure, index) => new Chart(figure, data.charts[index]));
  const redraw = () => charts.forEach((chart) => chart.draw());
  function zoom(from, to) {
    const all = from === null || (from <= whole[0] && to >= whole[1]);
    if (!all && to - from < 1) [from, to] = [(from + to) / 2 - 0.5, (from + to) / 2 + 0.5];
    [view.from, view.to] = all ? [null, null] : [Math.max(from, whole[0]), Math.min(to, whole[1])];
    find("range").textContent = `steps ${shown().map((end) => step(clamp(end, ...ends))).join(" to ")}`;
    find("reset").disabled = all;
    redraw();
  }
  if (charts.length) {
    find("controls").addEventListener("change", (event) => { if (event.target.name === "scale") { view.log = event.target.value === "log"; redraw(); } });
    find("smooth").addEventListener("input", (event) => { view.smooth = +event.target.value; find("smoothness").textContent = view.smooth || "0"; redraw(); });
    find("reset").addEventListener("click", () => zoom(null, null));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    zoom(null, null);
  }

  let turn = () => {};
  if (find("sample")) {
    const slider = find("when"), parts = ["img", "audio", "pre", ".rows", "figcaption b"];
    const [picture, sound, text, table, when] = parts.map((name) => find("sample").querySelector(name));
    const all = [];
    const take = ({ samples, last }, figure) => { // the last one's body is in the page itself
      const bodies = { picture: () => figure.querySelector("img").getAttribute("src"), table: () => last.body };
      const body = (bodies[last.form] ?? (() => figure.querySelector("pre").textContent))();
      all.splice(0, Infinity, ...samples, { ...last, body, sound: figure.querySelector("audio").getAttribute("src") });
      slider.max = all.length - 1;
      find("turn").hidden = all.length < 2;
    };
    const fill = ([names, ...rows], cut) => {
      const line = (kind, values) => {
        const row = document.createElement("tr");
        for (const value of values) row.append(Object.assign(document.createElement(kind), { textContent: value }));
        return row;
      };
      table.querySelector("thead").replaceChildren(line("th", names ?? []));
      table.querySelector("tbody").replaceChildren(...rows.map((row) => line("td", row)));
      table.querySelector("p").hidden = !cut;
    };
    const show = (index) => {
      const { step: at, form, body, width, height, sound: heard, cut } = all[index = clamp(index, 0, all.length - 1)];
      slider.value = index;
      slider.setAttribute("aria-valuetext", `step ${step(at)}`);
      when.textContent = step(at);
      picture.hidden = form !== "picture";
      text.hidden = form !== "text" && form !== "file";
      table.hidden = form !== "table";
      sound.hidden = !heard;
      if ((heard ?? null) !== sound.getAttribute("src")) heard ? sound.setAttribute("src", heard) : sound.removeAttribute("src"); // the same again would begin anew
      sound.setAttribute("aria-label", `Samples after step ${step(at)}, one after the other`);
      if (form === "table") fill(body, cut);
      else if (form === "picture") Object.assign(picture, { src: body, width, height, alt: `Samples after step ${step(at)}`, className: width < 544 ? "small" : "" });
      else text.textContent = body;
      find("earlier").disabled = index === 0;
      find("later").disabled = index === all.length - 1;
    };
    slider.addEventListener("input", () => show(+slider.value));
    find("earlier").addEventListener("click", () => show(+slider.value - 1));
    find("later").addEventListener("click", () => show(+slider.value + 1));
    take(data, find("sample"));
    show(all.length - 1);
    turn = (newer, figure) => { // who looks at the last samples goes on to newer ones; who looks at others, or listens, stays there
      const [following, { step: at }] = [+slider.value === all.length - 1 && sound.paused, all[+slider.value]];
      take(newer, figure);
      show(following ? all.length - 1 : nearest(all.map((sample) => sample.step), at));
    };
  }

  if (find("copy")) find("copy").hidden = false;
  find("copy")?.addEventListener("click", async () => {
    getSelection().selectAllChildren(find("command"));
    try { await navigator.clipboard.writeText(find("command").textContent); find("copy").textContent = "Copied"; }
    catch { find("copy").textContent = "Press Ctrl+C"; } // without permission the text is at least selected
  });

  /** Take over the curves and samples of a newer page of this run (a document); what its reader has set stays. */
  function update(page) {
    const newer = JSON.parse(page.getElementById("data").textContent);
    const begun = !charts.length && newer.charts.length || !find("sample") && newer.last;
    if (begun) return location.reload(); // nothing has been set yet, and the page has places for neither
    const figures = [...page.querySelectorAll(".chart")];
    const kept = newer.charts.map((chart, index) => {
      const known = charts.find((other) => other.fits(chart));
      known?.take(chart.curves);
      return known || new Chart(document.adoptNode(figures[index]), chart);
    });
    const same = kept.length === charts.length && kept.every((chart, index) => chart === charts[index]);
    if (!same) find("charts").replaceChildren(...kept.map((chart) => chart.figure));
    charts = kept;
    extend(newer.charts);
    const gone = view.from !== null && view.from >= whole[1]; // a run that went on from an earlier step
    if (charts.length) zoom(...(gone ? [null, null] : [view.from, view.to]));
    if (newer.last) turn(newer, page.getElementById("sample"));
  }
  return { update };
})();
