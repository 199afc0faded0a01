document.getElementById("app").textContent = `Gift cards of ${window.app.entryPointUriPath}`;
