// What the reader does: opening, copying, and all of it by keys.

for (const scenario of scenarios) {
  scenario.addEventListener("toggle", () => {
    const place = scenario.querySelector(".chart");
    if (scenario.open && place) {
      drawChart(place);
    }
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = button.previousElementSibling.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "selected";
    }
  });
}

/** Goes to another scenario that is shown, or that is shown and needs a look. */
function go(step, matters) {
  const shown = scenarios.filter((it) => !it.hidden && (!matters || it.dataset.unexpected !== undefined));
  const now = document.activeElement.closest(".scenario");
  const at = now ? scenarios.indexOf(now) : -1;
  const next = step > 0
    ? shown.find((it) => scenarios.indexOf(it) > at)
    : shown.findLast((it) => at < 0 || scenarios.indexOf(it) < at);
  if (next) {
    next.firstElementChild.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

const keys = {
  j: () => go(1, false),
  k: () => go(-1, false),
  n: () => go(1, true),
  p: () => go(-1, true),
  "/": () => filter.elements.text.focus(),
  "?": () => document.getElementById("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea, dialog");
  if (event.key === "Escape" && isTyping) {
    event.target.blur();
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) {
    return;
  }
  event.preventDefault();
  keys[event.key]();
});

filterNow();
follow();
