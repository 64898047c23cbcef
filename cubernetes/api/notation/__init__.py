"""How a tree is written: JSON and YAML, each read behind a guard. It refuses to know a kind."""
