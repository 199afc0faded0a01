document.getElementById('place').textContent = `Served at ${window.location.href}`;
