"""How fast, how frugal and how steady the connector is: `make bench`, see tools/bench/README.md."""
