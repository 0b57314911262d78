// What a reader does, and what is to be seen then. What went wrong is told to the page around this one.

const told = [];

function check(what, is) {
  if (!is) {
    told.push(what);
  }
}

const shown = () => scenarios.filter((it) => !it.hidden);
const input = (name) => filter.elements[name];
const change = (field) => field.dispatchEvent(new Event("input", { bubbles: true }));
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const later = () => new Promise((done) => setTimeout(done, 50));

async function filters() {
  check("a count of all at first", shownCount.textContent === `${scenarios.length} of ${scenarios.length} shown`);
  const fail = filter.querySelector("[name=verdict][value=fail]");
  fail.click();
  check("failures alone", shown().length > 1 && shown().every((it) => it.dataset.verdict === "fail"));
  check("the address keeps it", location.hash === "#?verdict=fail");
  const headings = [...document.querySelectorAll(".of-section")];
  check("no heading without a scenario", headings.some((it) => it.hidden));
  fail.click();
  input("text").value = "SECOND mqtt-3.1.0-2 connect";
  change(input("text"));
  check("all of the words", shown().length === 1 && shown()[0].id === "3.1/second-connect-closes");
  filter.querySelector("[type=reset]").click();
  await later();
  check("all again", shown().length === scenarios.length);
  location.hash = "#?section=3.14&unexpected=yes";
  await later();
  check("what an address asks for", shown().length > 1 && shown().every((it) => it.dataset.section === "3.14"));
  check("what needs a look", shown().every((it) => it.dataset.unexpected !== undefined));
}

async function links() {
  for (const link of document.querySelectorAll("a[href^='#']")) {
    const to = decodeURIComponent(link.hash.slice(1));
    check(`a place for ${link.hash}`, to.startsWith("?") || document.getElementById(to));
  }
  location.hash = "#3.1/second-connect-closes";
  await later();
  const scenario = document.getElementById("3.1/second-connect-closes");
  check("a link shows what was hidden", !scenario.hidden && scenario.open);
  const rows = scenario.querySelectorAll(".chart li");
  check("a row an event", rows.length === 5);
  check("an arrow a packet", scenario.querySelectorAll(".chart polygon").length === 3);
  const finding = scenario.querySelectorAll(".chart li.finding");
  check("the place of the finding", finding.length === 1 && finding[0] === rows[3]);
  const packet = rows[1].querySelector("details");
  packet.open = true;
  await later();
  const fields = [...packet.querySelectorAll("tbody tr")].map((it) => it.textContent);
  check("fields with bytes and values", fields.some((it) => it.endsWith("Protocol Name4d 51 54 54\"MQTT\"")));
  check("all its bytes", packet.querySelector(".hex").textContent.startsWith("10 "));
}

async function hostile() {
  const row = scenarios.find((it) => it.id.includes("</script>"));
  check("a hostile id is text", row && row.querySelector("summary").textContent.includes("<&\"]]>"));
  row.open = true;
  await later();
  check("a hostile trace is drawn", row.querySelectorAll(".chart li").length === 43);
  check("as text", row.querySelector(".chart").textContent.includes("<&\"]]>"));
  check("no other scripts", [...document.scripts].every((it) => it.type === "application/json" || it.text.includes("use strict") || it.dataset.reader !== undefined));
  check("nothing beside them", document.querySelector("img, iframe, object, embed, link, base") === null);
}

async function keyboard() {
  location.hash = "#?";
  await later();
  document.activeElement.blur();
  press("j");
  check("j goes to the first", document.activeElement.parentElement === scenarios[0]);
  press("n");
  const look = scenarios.findIndex((it, place) => place > 0 && it.dataset.unexpected !== undefined);
  check("n to what needs a look", document.activeElement.parentElement === scenarios[look]);
  press("k");
  check("k goes back", document.activeElement.parentElement === scenarios[look - 1]);
  press("/");
  check("/ searches", document.activeElement === input("text"));
  press("j");
  check("what is typed is no command", document.activeElement === input("text"));
  document.activeElement.blur();
  press("?");
  check("? tells of the keys", document.getElementById("keys").open);
  document.getElementById("keys").close();
}

async function accessible() {
  for (const closed of document.querySelectorAll("details:not(.scenario)")) {
    closed.open = true;
  }
  const found = await axe.run(document, { resultTypes: ["violations"] });
  for (const violation of found.violations) {
    check(`${violation.id}: ${violation.nodes[0].html.slice(0, 200)} ${violation.nodes[0].failureSummary}`, false);
  }
}

async function read() {
  const steps = [filters, links, hostile, keyboard];
  if (window.axe) {
    steps.push(accessible);
  }
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      told.push(`${step.name}: ${error.stack}`);
    }
  }
  const wide = [...document.querySelectorAll("body *")].filter((it) => it.getBoundingClientRect().right > window.innerWidth);
  const names = wide.map((it) => `${it.tagName} ${it.className.baseVal ?? it.className}`).join(", ");
  check(`too wide for ${window.innerWidth}: ${names}`, document.documentElement.scrollWidth <= window.innerWidth);
  check("nothing was loaded", performance.getEntriesByType("resource").length === 0);
  parent.postMessage(told.length ? told.join("\n") : "as it should be", "*");
}

read();
