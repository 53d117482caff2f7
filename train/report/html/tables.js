for (const table of document.querySelectorAll("table.data")) {
  const bodies = [...table.tBodies], heads = [...table.tHead.rows[0].cells];
  const rows = body => [...body.rows].filter(row => !row.matches(".group"));
  const first = new Map(bodies.map(body => [body, rows(body)]));
  const key = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent.trim().toLowerCase();
  const sort = (i, way) => {
    for (const head of heads) head.removeAttribute("aria-sort");
    if (way) heads[i].ariaSort = way;
    for (const body of bodies) {
      const sorted = way ? rows(body).sort((a, b) => {
        const [x, y] = [key(a, i), key(b, i)], number = text => parseFloat(text.replace("−", "-"));
        const empty = (x === "" || x === "–") - (y === "" || y === "–");
        return empty || (number(x) - number(y) || x.localeCompare(y)) * (way === "ascending" ? 1 : -1);
      }) : first.get(body);
      body.append(...sorted);
    }
  };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    const ways = i ? ["descending", "ascending", ""] : ["ascending", "descending", ""];
    button.onclick = () => sort(i, ways[(ways.indexOf(head.ariaSort ?? "") + 1) % 3]);
  });
  const tools = table.closest(".table").querySelector(".tools");
  const label = (words, kind, field) => {
    const made = Object.assign(document.createElement("label"), {className: kind});
    made.append(words, field);
    tools.querySelector(".files").before(made);
  };
  const order = document.createElement("select");
  order.append(new Option("as given", -1), ...heads.map((head, i) => new Option(head.dataset.name || "name", i)));
  order.onchange = () => sort(Math.max(0, order.value), order.value < 0 ? "" : order.value > 0 ? "descending" : "ascending");
  if (table.rows.length > 4) label("Sort by", "order", order);
  const field = Object.assign(document.createElement("input"), {type: "search"});
  field.oninput = () => {
    const words = field.value.toLowerCase().split(" ");
    for (const body of bodies) {
      const group = body.querySelector(".group")?.textContent ?? "";
      for (const row of rows(body)) {
        const text = (group + " " + row.cells[0].textContent).toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
      }
      body.hidden = rows(body).every(row => row.hidden);
    }
  };
  if (table.rows.length > 8) label("Filter rows", "filter", field);
}
