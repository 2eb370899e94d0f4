// Each path is a page of its own, and all of them are this one file.
const name = location.pathname.slice(1) || "everybody";
const main = document.querySelector("main");
fetch(`/api/hello/${name}`)
  .then((response) => response.text())
  .then((text) => { main.textContent = text; });
