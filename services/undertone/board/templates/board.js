"use strict";
// Takes the page anew and puts its new content in the place of the old; without it, the page is
// complete as it stands. Nothing is written but what the board itself has sent.
(() => {
  const seconds = Number(document.body.dataset.refresh);
  const pause = document.getElementById("pause");
  const told = document.getElementById("told");
  let paused = false;

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume updates" : "Pause updates";
    told.textContent = paused ? "Paused." : "";
    update();
  });
  pause.hidden = false;

  async function update() {
    if (paused || document.hidden || getSelection().type === "Range") return;
    try {
      const response = await fetch(location.href, {redirect: "error"});
      if (response.status >= 500) throw new Error();
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      const link = document.activeElement.getAttribute("href");
      for (const part of ["status", "content"]) {
        document.getElementById(part).replaceChildren(...fresh.getElementById(part).childNodes);
      }
      document.title = fresh.title;
      if (link) document.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus({preventScroll: true});
      told.textContent = "";
    } catch {
      told.textContent = "The board does not answer: what is shown may be old.";
    }
  }
  setInterval(update, seconds * 1000);
})();
