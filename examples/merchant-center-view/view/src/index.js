document.getElementById("app").textContent = `Stock, shown by ${window.app.customViewId}`;
