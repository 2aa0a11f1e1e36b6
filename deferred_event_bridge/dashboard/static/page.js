// Holds the polling of htmx while nobody can see the page, while a person writes in a field of it, and after the session
// has ended, and says when it fails. The page works without this file.

const live = () => document.getElementById("live");
const isWriting = () => live()?.contains(document.activeElement) && document.activeElement.matches("input, select");

let refreshed = new Date();

const showAsStale = (isStale) => {
  const mark = document.getElementById("stale");
  if (!mark) return;
  if (!isStale) refreshed = new Date();
  if (mark.hidden === !isStale) return; // a screen reader is told once
  mark.querySelector("time").textContent = `${refreshed.toISOString().slice(11, 19)} UTC`;
  mark.hidden = !isStale;
};

document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden || isWriting()) event.preventDefault();
});

document.addEventListener("htmx:before:swap", (event) => {
  const response = event.detail?.ctx?.response;
  if (!response) return;
  if (response.raw?.redirected) {
    event.preventDefault();
    location.reload();
    return;
  }
  if (response.status !== 200) event.preventDefault();
  showAsStale(response.status !== 200);
});

document.addEventListener("htmx:error", () => showAsStale(true));
