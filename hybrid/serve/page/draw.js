// How an answer lies on the page: a grid with boxes, a maze, or a row of chips; and small charts. Holds no state.

export function made(name, text = "", classes = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (classes) element.className = classes;
  return element;
}

const MAZE = { "#": ["wall", "wall"], ".": ["", "free"], o: ["path", "path"], S: ["end", ""], G: ["end", ""] };

// Draws the symbols of a step; those that differ from `before`, the step before it, are marked.
export function drawn(picture, symbols, before, name) {
  const changed = symbols.map((symbol, place) => Boolean(before) && before[place] !== symbol);
  const draw = picture.columns.length > 1 ? table : chips;
  const element = draw(picture, symbols, changed);
  element.setAttribute("aria-label", name);
  return element;
}

function table(picture, symbols, changed) {
  const grid = made("table"), [height, width] = picture.box || [0, 0], maze = picture.kind === "maze";
  grid.className = `cells ${picture.box ? "boxed" : ""} ${maze ? "maze" : ""}`;
  grid.style.setProperty("--columns", Math.max(...picture.columns));
  let place = 0;
  picture.columns.forEach((count, row) => {
    const line = grid.insertRow();
    for (let column = 0; column < count; column += 1, place += 1) {
      const cell = maze ? mazeCell(symbols[place]) : made("td", symbols[place], picture.given[place] ? "given" : "");
      if (height && row && row % height === 0) cell.classList.add("band");
      if (width && column && column % width === 0) cell.classList.add("stack");
      if (changed[place]) mark(cell);
      line.append(cell);
    }
  });
  return grid;
}

function mazeCell(symbol) {
  const [kind, said] = MAZE[symbol] || ["", ""];
  const cell = made("td", said ? "" : symbol, kind);
  if (said) cell.append(made("span", said, "hidden"));
  return cell;
}

function chips(picture, symbols, changed) {
  const list = made("ul", "", "chips");
  symbols.forEach((symbol, place) => {
    const item = made("li");
    if (picture.labels[place]) item.append(made("small", picture.labels[place]));
    item.append(symbol);
    if (changed[place]) mark(item);
    list.append(item);
  });
  return list;
}

function mark(element) {
  element.classList.add("changed");
  element.append(made("span", " changed", "hidden"));
}

// A picture for an answer whose task draws none: rows as the head writes them.
export function plain(symbols, row) {
  const width = row || symbols.length, columns = [];
  for (let left = symbols.length; left > 0; left -= width) columns.push(Math.min(left, width));
  return { kind: "", columns, box: null, given: [], labels: [] };
}

const LEAST_BARS = 8; // A chart has room for; fewer steps leave some of it empty.

// Draws a bar for each value of 0 to `most`; `pick` is told which bar was clicked.
export function chart(title, values, most, pick) {
  const figure = made("figure"), wide = 100 / Math.max(values.length, LEAST_BARS);
  const name = "http://www.w3.org/2000/svg", svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", "0 0 100 30"); svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "chart"); svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}: ${values.map(value => value.toFixed(2)).join(", ")}`);
  values.forEach((value, place) => {
    const bar = document.createElementNS(name, "rect"), tall = Math.max(.6, 30 * Math.min(1, value / most));
    const box = { x: place * wide + wide * .1, y: 30 - tall, width: wide * .8, height: tall };
    Object.entries(box).forEach(([key, size]) => bar.setAttribute(key, size));
    bar.addEventListener("click", () => pick(place));
    svg.append(bar);
  });
  figure.append(svg, made("figcaption", title));
  return figure;
}
