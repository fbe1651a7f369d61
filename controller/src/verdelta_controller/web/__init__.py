"""The pages: rendered on the server, readable without scripts, live where a browser runs them."""
