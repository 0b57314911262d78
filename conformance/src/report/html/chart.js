// A trace as a sequence chart: a line for the broker, one for each client, and an arrow a packet.

const SVG = "http://www.w3.org/2000/svg";
const ROW = 26;
const LANE_COLOURS = 6;

/** An element of the page; texts are always text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  return made;
}

function colourOf(lane) {
  return `var(--lane-${lane === 0 ? 0 : 1 + ((lane - 1) % LANE_COLOURS)})`;
}

/** The part of the lines beside one row, with the arrow of its packet. Lane 0 is the broker's. */
function linesOf(event, lanes, distance) {
  const width = distance * (lanes + 1);
  const svg = shape("svg", { width, "aria-hidden": "true" });
  const place = (lane) => distance * (lane + 0.5);
  for (let lane = 0; lane <= lanes; lane += 1) {
    const line = { x1: place(lane), x2: place(lane), y1: 0, y2: "100%", "stroke-width": lane ? 1 : 3 };
    svg.append(shape("line", { ...line, stroke: colourOf(lane), opacity: 0.45 }));
  }
  const client = place(event.lane + 1);
  const colour = colourOf(event.lane + 1);
  const middle = ROW / 2;
  if (event.mark === "|") {
    svg.append(shape("circle", { cx: client, cy: middle, r: 3, fill: colour }));
    return svg;
  }
  const [from, to] = event.mark === ">" ? [client, place(0)] : [place(0), client];
  const back = from < to ? -5 : 5;
  svg.append(shape("line", { x1: from, x2: to, y1: middle, y2: middle, stroke: colour, "stroke-width": 2 }));
  const points = `${to},${middle} ${to + back},${middle - 4} ${to + back},${middle + 4}`;
  svg.append(shape("polygon", { points, fill: colour }));
  return svg;
}

/** An event, by names. */
function eventOf([at, place, mark, text, wire], trace) {
  const [connection, lane] = trace.connections[place];
  const [hex, length, layout, anew] = wire || [];
  return { at: (at / 1000).toFixed(3), connection, lane, mark, text, hex, length, layout, anew };
}

function rowOf(event, index, trace, distance) {
  const row = element("li");
  row.append(element("span", { class: "at" }, event.at));
  row.append(linesOf(event, trace.lanes.length, distance));
  const direction = { ">": "sends", "<": "receives", "|": "" }[event.mark];
  const name = element("b", { style: `color: ${colourOf(event.lane + 1)}` }, event.connection);
  const words = [name, ` ${direction} `, event.text];
  if (event.hex === undefined) {
    row.append(element("span", { class: "what on-connection" }, ...words));
  } else {
    const packet = element("details", { class: "what" }, element("summary", {}, ...words));
    packet.addEventListener("toggle", () => {
      if (packet.open && packet.children.length === 1) {
        packet.append(...packetOf(event));
      }
    });
    row.append(packet);
  }
  if (trace.findings[index]) {
    row.classList.add("finding");
    row.lastChild.setAttribute("data-finding", trace.findings[index]);
  }
  return row;
}

/** Draws the trace of a scenario into its place, once. */
function drawChart(place) {
  if (place.children.length > 0) {
    return;
  }
  const trace = JSON.parse(document.getElementById(place.dataset.trace).textContent);
  const events = trace.events.map((row) => eventOf(row, trace));
  const names = element("div", { class: "lanes" });
  ["broker", ...trace.lanes].forEach((name, lane) => {
    const dot = element("i", { style: `color: ${colourOf(lane)}` });
    names.append(element("span", {}, dot, name));
  });
  const room = Math.min(220, place.clientWidth / 3);
  const distance = Math.max(4, Math.min(22, room / (trace.lanes.length + 1)));
  const list = element("ol");
  events.forEach((event, index) => list.append(rowOf(event, index, trace, distance)));
  place.append(names, list);
}
