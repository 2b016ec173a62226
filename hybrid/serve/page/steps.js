// The steps of an answer, walked through with a slider, buttons and keys.

import { chart, drawn, plain } from "./draw.js";

const at = id => document.getElementById(id);
const FREE = matchMedia("(prefers-reduced-motion: reduce)");
const MOST_SECONDS = 2.5; // Of an answer that forms by itself.
let data = null, picture = null, now = 0, timer = 0;

// Shows an answer as /v1/solve tells it, from its first step on.
export function watch(answer) {
  data = answer;
  const steps = data.trajectory || [];
  stop();
  at("thinking").hidden = !steps.length;
  if (!steps.length) return;
  picture = data.picture || plain(data.symbols, data.row_length);
  at("slider").max = steps.length;
  at("walk").hidden = steps.length < 2;
  const charts = [chart("latent motion", data.motion, Math.max(1e-9, ...data.motion), show)];
  if (data.confidences.length) charts.unshift(chart("how sure, 0 to 1", data.confidences, 1, show));
  at("charts").replaceChildren(...charts);
  at("legend").textContent = legend();
  at("text").open = picture.columns.length < 2;
  show(steps.length - 1);
  if (!FREE.matches && steps.length > 1) play();
}

function legend() {
  const given = picture.given.some(Boolean) && picture.kind !== "maze" ? "Bold on grey: given. Coloured: found by the head. " : "";
  const maze = picture.kind === "maze" ? "Dots: the path. " : "";
  const changed = data.trajectory.length > 1 ? "With a mark in the corner: changed in this step." : "";
  return `${given}${maze}${changed}`;
}

function show(step) {
  const steps = data.trajectory;
  now = Math.max(0, Math.min(steps.length - 1, step));
  const before = now ? steps[now - 1] : null;
  const changed = before ? steps[now].filter((symbol, place) => symbol !== before[place]).length : 0;
  const told = [`step ${now + 1} of ${steps.length}`];
  if (data.confidences.length) told.push(`${(100 * data.confidences[now]).toFixed(1)}% sure`);
  told.push(`moved ${data.motion[now].toFixed(2)}`);
  if (before) told.push(`${changed} changed`);
  at("drawing").replaceChildren(drawn(picture, steps[now], before, `Answer after step ${now + 1}`));
  at("slider").value = now + 1;
  at("slider").setAttribute("aria-valuetext", told.join(", "));
  at("step").textContent = told.join(", ");
  at("back").disabled = now === 0;
  at("on").disabled = now === steps.length - 1;
  document.querySelectorAll(".chart").forEach(svg => [...svg.children].forEach((bar, place) => bar.classList.toggle("now", place === now)));
}

function play() {
  stop();
  show(0);
  at("play").textContent = "Stop";
  timer = setInterval(() => {
    show(now + 1);
    if (now === data.trajectory.length - 1) stop();
  }, Math.min(450, 1000 * MOST_SECONDS / data.trajectory.length));
}

function stop() {
  clearInterval(timer);
  timer = 0;
  at("play").textContent = "Play";
}

function walk(by) {
  stop();
  show(now + by);
}

at("back").onclick = () => walk(-1);
at("on").onclick = () => walk(1);
at("play").onclick = () => (timer ? stop() : play());
at("slider").oninput = () => walk(at("slider").valueAsNumber - 1 - now);
document.addEventListener("keydown", event => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const writes = event.target.matches("input, textarea, select") || event.altKey || event.ctrlKey || event.metaKey;
  if (!by || writes || at("result").hidden || at("thinking").hidden) return;
  event.preventDefault();
  walk(by);
});
