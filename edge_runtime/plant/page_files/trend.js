// The gas area of the last half hour; where nobody was looking there is a band and no line.
const SVG = "http://www.w3.org/2000/svg", WIDTH = 600, HEIGHT = 80, TOP = 6;

export function makeTrend(parent, name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "trend");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "gas area of " + name + " over the last half hour");
  parent.append(svg);
  const caption = document.createElement("div");
  caption.className = "caption";
  parent.append(caption);
  return {svg, caption};
}

export function clearTrend(trend) {
  trend.svg.replaceChildren();
  trend.caption.replaceChildren();
}

function shape(kind, attributes) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export function drawTrend(trend, data) {
  const {t_ms: times, area, span_ms: span} = data, n = times.length;
  if (!n) return trend.svg.replaceChildren();
  const end = times[n - 1], begin = Math.max(end - span, times[0]), length = Math.max(end - begin, 60000);
  const known = area.filter(each => each !== null);
  const most = Math.max(0.001, ...known);
  const x = ms => (WIDTH * (1 - (end - ms) / length)).toFixed(1);
  const y = value => (HEIGHT - (HEIGHT - TOP) * value / most).toFixed(1);
  const parts = [shape("line", {class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - .5, y2: HEIGHT - .5})];
  let line = "", gap = null;
  const closeGap = until => {
    if (gap === null) return;
    parts.push(shape("rect", {class: "gap", x: x(gap), y: 0, height: HEIGHT,
      width: Math.max(1, x(until) - x(gap))}));
    gap = null;
  };
  for (let i = 0; i < n; i++) {
    if (area[i] === null) {
      if (gap === null) gap = times[Math.max(0, i - 1)];
    } else {
      const joined = i > 0 && area[i - 1] !== null && times[i] - times[i - 1] < 10000;
      line += (joined ? "L" : "M") + x(times[i]) + " " + y(area[i]);
      closeGap(times[i]);
    }
  }
  closeGap(end);
  parts.push(shape("path", {class: "area", d: line || "M0 0"}));
  trend.svg.replaceChildren(...parts);
  const minutes = Math.round(length / 60000);
  const left = document.createElement("span"), right = document.createElement("span");
  left.textContent = "gas area, last " + minutes + " min" + (known.length < n ? " (bands: nobody was looking)" : "");
  right.textContent = known.length ? "up to " + (100 * Math.max(...known)).toFixed(2) + " %" : "unknown";
  trend.caption.replaceChildren(left, right);
}
