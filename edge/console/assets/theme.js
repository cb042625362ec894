// The one script that runs before the page is drawn: it would flash otherwise.
try {
	const chosen = localStorage.getItem("theme");
	if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing follows the system */ }
