// Reads values off the timelines: by pointing, by touch, and with the arrow keys. Without it the page lacks nothing
// else; the same values are in the table under each drawing.
"use strict";
// Paper has no folds to open; files and tables of details stay on the screen.
addEventListener("beforeprint", () =>
  document.querySelectorAll("details:not(.aside)").forEach((it) => (it.open = true)));
// A link into a fold opens it, also where the browser does not.
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const fold = target && target.closest("details:not([open])");
  if (!fold) return;
  fold.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
for (const figure of document.querySelectorAll("figure.timeline")) {
  const source = figure.querySelector('script[type="application/json"]');
  const drawing = figure.querySelector(".drawing");
  const readout = figure.querySelector(".readout");
  if (!source || !drawing || !readout) continue;
  const data = JSON.parse(source.textContent);
  const hint = "Point at the timeline, or use the arrow keys, to read its values.";
  readout.hidden = false;
  readout.textContent = hint;
  let index = -1;

  const show = (next) => {
    index = Math.max(0, Math.min(data.rows.length - 1, next));
    const [from, to, text] = data.rows[index];
    const middle = (from + to) / 2;
    readout.textContent = text;
    // From now on it stays in sight, however far down the drawing reaches.
    figure.classList.add("reading");
    for (const name of ["wide", "narrow"]) {
      const { x, t } = data[name];
      const at = x[0] + ((middle - t[0]) / (t[1] - t[0])) * (x[1] - x[0]);
      const cursor = drawing.querySelector(`svg.${name} .cursor`);
      if (cursor) {
        cursor.setAttribute("x1", at);
        cursor.setAttribute("x2", at);
      }
    }
  };

  const rowAt = (seconds) => {
    let low = 0;
    let high = data.rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.rows[middle][1] > seconds) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  const point = (event) => {
    const svg = event.target.closest("svg.chart");
    if (!svg || !data.rows.length) return;
    const { x, t } = data[svg.classList.contains("narrow") ? "narrow" : "wide"];
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    show(rowAt(t[0] + ((at - x[0]) / (x[1] - x[0])) * (t[1] - t[0])));
  };
  drawing.addEventListener("pointermove", point);
  drawing.addEventListener("pointerdown", point);
  drawing.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (event.key in steps) show(index + steps[event.key]);
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(data.rows.length - 1);
    else return;
    event.preventDefault();
  });
}
