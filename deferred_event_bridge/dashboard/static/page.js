// Holds the polling of htmx while nobody can see the page, while a person writes in a field of it, and after the session
// has ended. The page works without this file.

const live = () => document.getElementById("live");
const isWriting = () => live()?.contains(document.activeElement) && document.activeElement.matches("input, select");

document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden || isWriting()) event.preventDefault();
});

document.addEventListener("htmx:before:swap", (event) => {
  const response = event.detail?.ctx?.response;
  if (response && (response.status !== 200 || response.raw?.redirected)) {
    event.preventDefault();
    if (response.raw?.redirected) location.reload();
  }
});
