"""Looking at a network in time: `trace.trace` makes data of what it does, `page.page` shows it in a browser."""
