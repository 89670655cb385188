// Sort a table by a pressed heading: numbers as numbers, text as text, empty cells last.
document.querySelectorAll("table.sortable th button").forEach(function (button) {
  button.addEventListener("click", function () {
    var heading = button.closest("th"), table = heading.closest("table"), column = heading.cellIndex;
    var down = heading.getAttribute("aria-sort") !== "descending", number = heading.classList.contains("number");
    var body = table.tBodies[0], rows = Array.from(body.rows);
    rows.sort(function (x, y) {
      var a = x.cells[column].dataset.v, b = y.cells[column].dataset.v;
      if (a === "" || b === "") { return (a === "") - (b === ""); }
      var order = number ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
      return down ? -order : order;
    });
    table.querySelectorAll("th[aria-sort]").forEach(function (th) { th.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.forEach(function (row) { body.appendChild(row); });
  });
});
// Save a table as it stands: a number with all its digits, an interval as it is written.
document.querySelectorAll("button.save").forEach(function (button) {
  button.addEventListener("click", function () {
    var table = document.getElementById(button.dataset.table);
    var heading = table.tHead.rows[table.tHead.rows.length - 1];
    // Spreadsheets run a cell that begins like a formula; text that does, and is no number, has an apostrophe before it.
    function quoted(text) {
      var runs = /^[=+\-@\t\r]/.test(text) && !/^[+-]?[0-9]+([.,][0-9]+)*$/.test(text);
      return '"' + (runs ? "'" : "") + text.replace(/"/g, '""') + '"';
    }
    function told(cell) {
      var single = !/\d (to|bis|至) /.test(cell.textContent);
      return cell.classList.contains("number") && single && cell.dataset.v ? cell.dataset.v : quoted(cell.textContent);
    }
    var lines = [Array.from(heading.cells).map(function (cell) { return quoted(cell.textContent); })];
    Array.from(table.tBodies[0].rows).forEach(function (row) { lines.push(Array.from(row.cells).map(told)); });
    var text = lines.map(function (line) { return line.join(","); }).join("\r\n");
    var link = document.createElement("a");
    // The mark at the beginning tells spreadsheets that the letters are Unicode.
    link.href = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv" }));
    link.download = button.dataset.table + ".csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
});
// Mark in the contents what is being read.
(function () {
  var links = new Map();
  document.querySelectorAll("nav a").forEach(function (link) {
    var part = document.getElementById(link.hash.slice(1));
    if (part) { links.set(part, link); }
  });
  var nav = document.querySelector("nav"), marked = null;
  function mark() {
    var here = null;
    links.forEach(function (link, part) {
      // Where there is little room, the contents show the parts alone.
      if (link.getClientRects().length && part.getBoundingClientRect().top < 120) { here = link; }
    });
    if (here === marked) { return; }
    if (marked) { marked.removeAttribute("aria-current"); }
    if (here) {
      here.setAttribute("aria-current", "location");
      nav.scrollLeft += here.getBoundingClientRect().left - nav.clientWidth / 3;
    }
    marked = here;
  }
  document.addEventListener("scroll", mark, { passive: true });
  window.addEventListener("resize", mark);
  mark();
})();
