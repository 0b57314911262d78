// What a packet holds: its fields, with their bytes and what these say.

/** Bytes as hex, in pairs. */
function hexOf(hex) {
  return hex.replace(/../g, "$& ").trim();
}

/** What the bytes of a field say, if that is more than the bytes. */
function meaningOf(kind, hex) {
  const bytes = (hex.match(/../g) || []).map((pair) => parseInt(pair, 16));
  if (kind === "number") {
    return String(bytes.reduce((value, byte) => value * 256 + byte, 0));
  }
  if (kind === "variable") {
    return String(bytes.reduceRight((value, byte) => value * 128 + (byte & 127), 0));
  }
  if (kind === "") {
    return "";
  }
  if (kind === "bytes") {
    const isPlain = bytes.length > 0 && bytes.every((byte) => byte >= 32 && byte < 127);
    return isPlain ? JSON.stringify(String.fromCharCode(...bytes)) : "";
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes));
    return JSON.stringify(text);
  } catch {
    return "no valid UTF-8";
  }
}

let allLayouts;

/** How packets are laid out: rows of depth, name, length and kind. */
function layouts() {
  allLayouts ||= JSON.parse(document.getElementById("layouts").textContent);
  return allLayouts;
}

/** A table of the fields of a packet. */
function fieldsOf(event) {
  const table = element("table", { class: "fields" });
  const head = element("tr");
  for (const title of ["Field", "Bytes", "Value"]) {
    head.append(element("th", { scope: "col" }, title));
  }
  table.append(element("thead", {}, head));
  const body = element("tbody");
  let at = 0;
  for (const [depth, name, length, kind] of layouts()[event.layout]) {
    const hex = event.hex.slice(2 * at, 2 * (at + length));
    at += length;
    const row = element("tr");
    row.append(element("td", {}, "  ".repeat(depth) + name));
    const bytes = hexOf(hex.slice(0, 96)) + (hex.length > 96 ? " ..." : "");
    row.append(element("td", {}, element("code", {}, bytes)));
    row.append(element("td", {}, hex.length === 2 * length ? meaningOf(kind, hex) : "..."));
    body.append(row);
  }
  table.append(body);
  return table;
}

/** All there is of a packet: its fields, or only its bytes where it has none. */
function packetOf(event) {
  const parts = [];
  if (event.layout !== null) {
    parts.push(element("div", { class: "scrolls" }, fieldsOf(event)));
  }
  let bytes = hexOf(event.hex);
  if (event.length > event.hex.length / 2) {
    bytes += ` ... (${event.length} bytes in all)`;
  }
  parts.push(element("p", { class: "hex" }, bytes));
  if (event.anew) {
    parts.push(element("p", { class: "faint" }, "Its bytes were not kept: it is encoded anew here."));
  }
  return parts;
}
