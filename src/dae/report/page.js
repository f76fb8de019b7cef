// The page is whole without this: it sorts tables, searches in them, and opens what is folded for print.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column], given = cell.querySelector("data")?.value ?? cell.textContent.trim();
    return given !== "" && !isNaN(given) ? Number(given) : given;
  };
  const missing = (value) => value === "" || value === "–" || value === "-";
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.type = "button";
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      const compare = (a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (missing(x) || missing(y)) return missing(x) - missing(y); // last, whichever the way
        return way * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
for (const tools of document.querySelectorAll(".tools[hidden]")) {
  const rows = [...document.getElementById(tools.dataset.table).tBodies[0].rows], input = tools.querySelector("input");
  tools.hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      shown += !row.hidden;
    }
    tools.querySelector("output").textContent = `${shown} of ${rows.length}`;
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details:not(.long)").forEach((part) => (part.open = true)));
