// Which scenarios are shown: by verdict, section and words. The address keeps it, so that it can be sent on.

const scenarios = [...document.querySelectorAll(".scenario")];
const filter = document.getElementById("filter");
const shownCount = document.getElementById("shown");

function filterNow() {
  const verdicts = new Set([...filter.querySelectorAll("[name=verdict]:checked")].map((it) => it.value));
  const section = filter.elements.section.value;
  const unexpected = filter.elements.unexpected.checked;
  const words = filter.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const scenario of scenarios) {
    const { verdict, section: of, words: text, unexpected: is } = scenario.dataset;
    const isShown =
      (verdicts.size === 0 || verdicts.has(verdict)) &&
      (section === "" || of === section) &&
      (!unexpected || is !== undefined) &&
      words.every((word) => text.includes(word));
    scenario.hidden = !isShown;
    count += isShown ? 1 : 0;
  }
  for (const heading of document.querySelectorAll(".of-section")) {
    heading.hidden = heading.querySelector(".scenario:not([hidden])") === null;
  }
  shownCount.textContent = `${count} of ${scenarios.length} shown`;
}

/** Keeps what is asked for in the address. */
function keep() {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(filter)) {
    if (value !== "") {
      asked.append(name, value);
    }
  }
  history.replaceState(null, "", `#?${asked}`);
}

/** Does what the address says: shows one scenario, or filters. */
function follow() {
  const hash = decodeURIComponent(location.hash.slice(1));
  if (hash.startsWith("?")) {
    const asked = new URLSearchParams(hash.slice(1));
    for (const box of filter.querySelectorAll("[name=verdict]")) {
      box.checked = asked.getAll("verdict").includes(box.value);
    }
    filter.elements.section.value = asked.get("section") || "";
    filter.elements.text.value = asked.get("text") || "";
    filter.elements.unexpected.checked = asked.has("unexpected");
    filterNow();
    return;
  }
  const scenario = document.getElementById(hash);
  if (scenario && scenario.classList.contains("scenario")) {
    if (scenario.hidden) {
      filter.reset();
      filterNow();
    }
    scenario.open = true;
    scenario.scrollIntoView();
    scenario.firstElementChild.focus();
  }
}

filter.addEventListener("input", () => {
  filterNow();
  keep();
});
filter.addEventListener("reset", () => setTimeout(() => {
  filterNow();
  keep();
}));
filter.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", follow);
