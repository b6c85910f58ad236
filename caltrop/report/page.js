// Draws the patience curves from the JSON beside them. Colours come from the style sheet, so that light and dark are
// decided there; the plots are drawn anew when the reader's scheme changes.
(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("curve-data")?.textContent ?? "[]");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const percent = (value) => (value == null ? "–" : Math.round(100 * value) + " %");
  const clear = "rgba(0,0,0,0)";
  const height = 200;
  let plots = [];

  // uPlot's series: for each curve its mean, and where seeds differ the edges of a band.
  function seriesOf(panel) {
    const series = [{}], data = [panel.steps], bands = [];
    for (const curve of panel.curves) {
      const stroke = color(curve.defended ? "trap" : "bare");
      const spread = curve.low.some((low, i) => low !== curve.high[i]);
      series.push({
        label: curve.label, stroke, width: 2, dash: curve.harmful ? [] : [6, 5], spanGaps: true,
        points: { show: true, size: 6, fill: curve.harmful ? stroke : color("card"), stroke },
      });
      data.push(curve.mean);
      if (spread) {
        const edge = { stroke: clear, width: 0, points: { show: false }, spanGaps: true };
        series.push({ ...edge }, { ...edge });
        data.push(curve.high, curve.low);
        bands.push({ series: [series.length - 2, series.length - 1], fill: stroke + "26" });
      }
    }
    return { series, data, bands };
  }

  // A level to read the curves against: that of guessing, or the threshold of harm.
  function drawLevel(level, name) {
    return (plot) => {
      const y = plot.valToPos(level, "y", true), { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = color("muted");
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.font = 11 * devicePixelRatio + "px system-ui, sans-serif";
      ctx.textAlign = "right";
      ctx.fillText(name, bbox.left + bbox.width - 2 * devicePixelRatio, y - 4 * devicePixelRatio);
      ctx.restore();
    };
  }

  // The values under the pointer (or finger), in words.
  function showReading(panel, box) {
    return (plot) => {
      const at = plot.cursor.idx;
      box.hidden = at == null;
      if (at == null) return;
      box.replaceChildren();
      const line = (text) => box.appendChild(document.createElement("div")).textContent = text;
      line("step " + panel.steps[at]);
      for (const curve of panel.curves) line(curve.label + ": " + percent(curve.mean[at]));
    };
  }

  function draw(panel, place) {
    const target = place.querySelector(".plot");
    const box = document.createElement("div");
    box.className = "reading";
    box.hidden = true;
    const { series, data, bands } = seriesOf(panel);
    const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false },
                   font: "11px system-ui, sans-serif" };
    const hooks = { setCursor: [showReading(panel, box)] };
    if (panel.level != null) hooks.drawAxes = [drawLevel(panel.level, panel.level_name)];
    const options = {
      width: target.clientWidth, height, series, bands, hooks,
      legend: { show: false }, cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
      scales: { x: { time: false, range: (_, low, high) => [low, high > low ? high : low + 1] },
                y: { range: [-0.03, 1.03] } },
      axes: [{ ...axis, size: 24, space: 36, label: "attack steps", labelSize: 16, labelGap: 0, labelFont: axis.font,
               incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
             { ...axis, size: 42, splits: [0, 0.25, 0.5, 0.75, 1], values: (_, ticks) => ticks.map(percent) }],
      padding: [8, 12, 0, 0],
    };
    const plot = new uPlot(options, data, target);
    target.appendChild(box);
    plots.push({ plot, target });
  }

  function drawAll() {
    for (const { plot, target } of plots) {
      plot.destroy();
      target.replaceChildren();
    }
    plots = [];
    for (const figure of figures) {
      const places = document.getElementById(figure.id).querySelectorAll(".panel");
      figure.panels.forEach((panel, i) => draw(panel, places[i]));
    }
    document.documentElement.dataset.drawn = String(plots.length);
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new ResizeObserver(() => {
    for (const { plot, target } of plots) {
      if (plot.width !== target.clientWidth) plot.setSize({ width: target.clientWidth, height });
    }
  }).observe(document.querySelector("main"));
})();
