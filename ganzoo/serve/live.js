"use strict";
// Keeps a page of `ganzoo serve` true: asks for it again, and takes over what has changed. What its reader has set stays.
(() => {
  const EVERY = 1000; // milliseconds
  const said = document.getElementById("live");
  let tag = null;

  /** Put newer elements in place of those shown; an open disclosure stays open, and the focus where it was. */
  function replace(old, newer) {
    if (old.outerHTML === newer.outerHTML) return;
    const focusable = "a, button, summary, [tabindex]", at = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    newer = document.adoptNode(newer);
    newer.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? false; });
    if (old.outerHTML === newer.outerHTML) return;
    old.replaceWith(newer);
    if (at >= 0) newer.querySelectorAll(focusable)[at]?.focus({ preventScroll: true });
  }
  function list(page) {
    const runs = document.getElementById("runs");
    const items = [...page.querySelectorAll("#runs > li")].map((item) => {
      const old = document.getElementById(item.id);
      if (old) replace(old, item);
      return item.id;
    });
    const wanted = items.map((id) => document.getElementById(id) ?? document.adoptNode(page.getElementById(id)));
    const same = wanted.length === runs.children.length && wanted.every((item, index) => item === runs.children[index]);
    const focused = document.activeElement;
    if (!same) { runs.replaceChildren(...wanted); focused.focus({ preventScroll: true }); }
    document.getElementById("none").hidden = wanted.length > 0;
  }
  function take(page) {
    for (const old of document.querySelectorAll("[data-live]")) {
      const newer = page.getElementById(old.id);
      if (newer) replace(old, newer);
    }
    if (document.getElementById("runs")) list(page);
    if (document.getElementById("data")) report.update(page);
  }
  function say(words) { if (said.textContent !== words) said.textContent = words; }

  async function ask() {
    const began = performance.now();
    if (!document.hidden) {
      try {
        const answer = await fetch(location.pathname, { cache: "no-cache" });
        const text = await answer.text();
        if (!answer.ok) say(new DOMParser().parseFromString(text, "text/html").querySelector("h1")?.textContent ?? "No answer.");
        else {
          say("");
          if (answer.headers.get("ETag") !== tag) take(new DOMParser().parseFromString(text, "text/html"));
          tag = answer.headers.get("ETag");
        }
      } catch { say("No answer from ganzoo serve; what is shown is what it said last."); }
    }
    // A server that takes long over a page is asked less often: the run itself needs the processor.
    setTimeout(ask, Math.max(EVERY, 10 * (performance.now() - began)));
  }
  setTimeout(ask, EVERY);
})();
