// The form: what is asked, of whom, and what came of it.

import { leave, listen } from "./chain.js";
import { made } from "./draw.js";
import { watch } from "./steps.js";

const at = id => document.getElementById(id);
let examples = {}, writes = {}, last = null;

async function get(path, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : {});
  const data = await response.json();
  if (!response.ok) throw new Error(data.error ? data.error.message : response.statusText);
  return data;
}

// Shows what the chosen head has: examples, and a language model that can think aloud beside it.
function offer() {
  at("aloud-label").hidden = at("chain").hidden = !writes[at("model").value];
  at("examples").replaceChildren(...(examples[at("model").value] || []).map((text, index) => {
    const button = made("button", `Example ${index + 1}`);
    button.type = "button";
    button.onclick = () => { at("prompt").value = text; at("form").requestSubmit(); };
    return button;
  }));
}

function tell(data) {
  const sure = data.confidence === undefined ? "" : `, ${(100 * data.confidence).toFixed(1)}% sure of it`;
  const checked = data.verified === true ? ", checked: it follows the rules" : data.verified === false ? ", checked: it breaks a rule" : "";
  const who = data.answered_by === "head" ? `The head answered${sure}${checked}` : `The fallback answered, because ${data.why}`;
  at("by").textContent = `${who}; ${data.seconds.toFixed(2)} s.`;
  at("by").className = data.verified === false ? "bad" : "";
  at("answer").textContent = data.text;
  at("text").open = true;
  const read = (data.understood || "").trim();
  at("read").hidden = !read || read === at("prompt").value.trim();
  at("understood").textContent = read;
  at("result").hidden = false;
  watch(data);
  show(at("thinking").hidden ? at("answer") : at("drawing"));
}

// Brings what is new onto the screen, from the heading of the answer on, where some of it lies below.
function show(element) {
  if (element.getBoundingClientRect().bottom <= innerHeight) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at("head-title").scrollIntoView({ behavior: still ? "auto" : "smooth" });
}

function say(text, bad) {
  at("state").textContent = text;
  at("state").className = bad ? "bad" : "quiet";
}

at("form").onsubmit = async event => {
  event.preventDefault();
  const asked = { model: at("model").value, prompt: at("prompt").value }, mine = last = { asked };
  leave();
  say("thinking");
  try {
    const head = await get("v1/solve", asked);
    if (mine !== last) return; // Something else was asked meanwhile.
    mine.head = head;
    tell(head);
    say("");
    if (writes[asked.model] && at("aloud").checked) listen(asked, head);
  } catch (error) {
    if (mine !== last) return;
    say(error.message, true);
    at("result").hidden = true;
  }
};
at("prompt").onkeydown = event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
};
at("chain-go").onclick = () => { listen(last.asked, last.head); at("chain-stop").focus(); };
at("model").onchange = offer;

try {
  examples = await get("v1/examples");
  const models = (await get("v1/models")).data;
  at("model").replaceChildren(...models.map(each => new Option(each.id, each.id)));
  writes = Object.fromEntries(models.map(each => [each.id, each.chain_tokens > 0]));
  offer();
} catch (error) {
  say(error.message, true);
}
