export const title = "Now";

export function mount(root, app) {
	const headline = app.h("p", { class: "big" });
	root.append(headline);
	return app.onStatus((s) => app.text(headline, s.headline));
}
