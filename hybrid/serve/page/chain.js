// The second column: the language model's own chain of thought, as it is written, and whether it comes to the same answer.

const at = id => document.getElementById(id);
let reading = null;

// Ends what is being written, and empties the column.
export function leave() {
  if (reading) reading.abort();
  reading = null;
  for (const id of ["chain-count", "chain-text", "chain-verdict"]) at(id).textContent = "";
  at("chain-text").hidden = true;
  at("chain-verdict").className = "";
  running(false);
}

function running(on) {
  at("chain-go").hidden = on;
  at("chain-stop").hidden = !on;
}

// Lets the language model think about what the head has answered.
export async function listen(asked, head) {
  leave();
  const own = reading = new AbortController();
  running(true);
  at("chain-text").hidden = false;
  at("chain-count").textContent = "reading the problem";
  let last = null;
  try {
    const body = JSON.stringify({ ...asked, answer: head.symbols || [] });
    const headers = { "content-type": "application/json" };
    const response = await fetch("v1/chain_of_thought", { method: "POST", headers, body, signal: own.signal });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const event of events(response.body)) {
      if (event.error) throw new Error(event.error.message);
      last = event;
      tell(event);
    }
    if (!last || !last.ended) throw new Error("it broke off; the server may have stopped");
    judge(last, head);
  } catch (error) {
    if (own !== reading) return; // Another one is being written.
    const stopped = own.signal.aborted;
    if (!last) at("chain-count").textContent = "";
    at("chain-text").hidden = !at("chain-text").textContent;
    at("chain-verdict").textContent = stopped ? "Stopped: it has not come to an answer." : error.message;
    at("chain-verdict").className = stopped ? "quiet" : "bad";
  }
  if (own === reading) running(false);
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n\n");
    rest = lines.pop();
    for (const line of lines) if (line !== "data: [DONE]") yield JSON.parse(line.slice(6));
  }
}

function tell(event) {
  const box = at("chain-text"), below = box.scrollHeight - box.scrollTop - box.clientHeight < 8;
  box.append(event.text);
  if (below) box.scrollTop = box.scrollHeight;
  const tokens = event.tokens ? `${event.tokens} token${event.tokens === 1 ? "" : "s"}` : "reading the problem";
  at("chain-count").textContent = `${tokens}, ${event.seconds.toFixed(1)} s`;
}

function judge(last, head) {
  const longer = last.seconds / Math.max(head.seconds, 1e-4);
  const cost = `It took ${longer.toFixed(longer < 10 ? 1 : 0)} times the head's seconds`;
  const rule = last.verified === false ? " It breaks a rule." : last.verified === true ? " It follows the rules." : "";
  const none = last.ended === "length" ? `It came to no answer in ${last.tokens} tokens` : "It ended without an answer that can be read";
  const verdict = last.same ? "It comes to the head's answer."
    : last.answer ? `Its answer differs from the head's.${rule} It says:\n${last.answer}`
    : last.same === false ? `${none}: not what the head says.`
    : "Nothing here can read its answer; compare the two yourself.";
  at("chain-verdict").textContent = `${verdict}\n${cost}.`;
  at("chain-verdict").className = last.same ? "good verdict" : last.same === false ? "bad verdict" : "verdict";
}

at("chain-stop").onclick = () => { if (reading) reading.abort(); at("chain-go").hidden = false; at("chain-go").focus(); };
