"use strict";
// The explorer's controls: they say where in latent space, the server answers with the picture of that place.
(() => {
  const find = (id) => document.getElementById(id);
  const home = find("explorer"), picture = find("picture"), said = find("said"), play = find("play");
  const sliders = [...home.querySelectorAll("input[type=range]")], moves = sliders.filter((slider) => slider.id.startsWith("move-"));
  const fields = ["seed", "to", "label", "truncation", "at"].map(find).filter(Boolean);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const LENGTH = 5000, PAUSE = 80; // milliseconds of a walk, and between two of its pictures

  function place() {
    const words = new URLSearchParams(fields.filter((field) => field.value !== "").map((field) => [field.id, field.value]));
    if (moves.some((slider) => +slider.value)) words.set("moves", moves.map((slider) => slider.value).join(","));
    return words;
  }
  /** Put what the address says after its # into the controls. */
  function restore() {
    const words = new URLSearchParams(location.hash.slice(1));
    for (const field of fields) if (words.has(field.id)) field.value = words.get(field.id);
    words.get("moves")?.split(",").forEach((value, index) => { if (moves[index]) moves[index].value = value; });
    label();
  }
  const label = () => sliders.forEach((slider) => { slider.parentElement.querySelector("output").textContent = slider.value; });

  /** One request at a time; what is asked meanwhile is not queued, only the newest place is asked for after it. */
  let busy = null, again = false;
  function draw() {
    label();
    if (busy) again = true;
    else busy = (async () => {
      home.ariaBusy = "true";
      do { again = false; await show(place()); } while (again);
      home.ariaBusy = busy = null;
    })();
    return busy;
  }
  async function show(words) {
    try {
      const answer = await fetch(`/run/${home.dataset.slug}/explore.png?${words}`);
      if (!answer.ok) { said.textContent = await answer.text(); return; }
      const old = picture.src, address = URL.createObjectURL(await answer.blob());
      picture.src = address;
      await picture.decode();
      if (old) URL.revokeObjectURL(old);
      fit();
      Object.assign(find("save"), { href: address, download: `${home.dataset.slug}-seed-${words.get("seed") ?? 0}.png` });
      const step = `Checkpoint of step ${(+answer.headers.get("Ganzoo-Step")).toLocaleString("en")}`;
      if (said.textContent !== step) said.textContent = step;
    } catch { said.textContent = "No answer from ganzoo serve."; playing(false); }
  }

  /** As large as there is room: small pictures a whole number of times, so that every pixel is a crisp square. */
  function fit() {
    const { naturalWidth: width, naturalHeight: height } = picture;
    if (!width) return;
    const high = matchMedia("(max-width: 40rem)").matches ? 0.4 * innerHeight : 544; // on a phone the sliders stay in view
    const times = Math.min((picture.parentElement.clientWidth - 2) / width, Math.max(high, 100) / height);
    Object.assign(picture, { width: Math.floor(width * (times > 1 ? Math.floor(times) : times)), className: times >= 2 ? "small" : "" });
  }
  addEventListener("resize", fit);

  const random = () => String(Math.floor(Math.random() * 1e6));
  let walking = false;
  function playing(on) { walking = on; play.textContent = on ? "Pause" : calm.matches ? "Step" : "Play"; }
  /** Towards the other seed; once there, from it to a new one. */
  function advance(share) {
    const at = +find("at").value;
    if (at >= 1) { find("seed").value = find("to").value; find("to").value = random(); find("at").value = 0; }
    else find("at").value = Math.min(1, Math.max(at + share, at + 0.01));
    return draw();
  }
  async function walk() {
    let then = performance.now();
    while (walking) {
      await new Promise((done) => setTimeout(done, PAUSE));
      const now = performance.now();
      if (walking && !document.hidden) await advance((now - then) / LENGTH);
      then = now;
    }
  }
  play.addEventListener("click", () => {
    if (calm.matches) return void advance(0.1).then(remember); // nothing moves by itself where that is not wanted
    playing(!walking);
    if (walking) walk(); else remember();
  });
  calm.addEventListener("change", () => playing(false));

  const remember = () => history.replaceState(null, "", `#${place()}`);
  home.addEventListener("input", draw);
  home.addEventListener("change", remember);
  for (const button of home.querySelectorAll("[data-random]"))
    button.addEventListener("click", () => { find(button.dataset.random).value = random(); draw(); remember(); });
  find("reset")?.addEventListener("click", () => { moves.forEach((slider) => { slider.value = 0; }); draw(); remember(); });

  find("unscripted").hidden = true;
  home.hidden = false;
  playing(false);
  restore();
  draw();
})();
